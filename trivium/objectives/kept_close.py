"""Next-token prediction that stays close to the model it began from: a KL divergence to the base at each token.

    L = sum_t -log p(x_t | x_<t) + weight * KL(q(. | x_<t) || p(. | x_<t))

q is the base and p the model that is trained. In this direction p must keep what q gave probability to, which is what
is not to be forgotten (Hinton et al. 2015, section 2; Li and Hoiem 2016, "Learning without forgetting"); it is the full
sum over the vocabulary and not an estimate from samples, as the penalties in `kl` are.

The base is the same network: ``as_base`` is a context in which it computes as it did at the beginning (an adapter
switched off, or kept weights in the places of the trained ones). Logits exist for a chunk of positions at a time, and
are made again in the backward pass.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.nn.evaluating import evaluating
from trivium.nn.head import CHUNK_ROWS
from trivium.nn.state import State
from trivium.objectives.loss import Loss

AsBase = Callable[[nn.Module], AbstractContextManager[None]]
"""Within ``as_base(model)`` the model computes as its base does; it may be entered during the backward pass."""


def kept_close(as_base: AsBase, weight: float) -> Callable[..., Loss]:
    """The objective ``(model, batch[, state]) -> Loss``; a state is what the trained model begins with, a prompt say.

    The divergence is told as the metric "base_divergence", in nats a token. Raises `ConfigError` for a weight that is
    not above 0.
    """
    if not weight > 0:
        raise ConfigError("the weight of the divergence must be above 0", received=weight)

    def objective(model: nn.Module, batch: CausalBatch, state: State | None = None) -> Loss:
        with torch.no_grad(), as_base(model), evaluating(model):
            base = model(batch.tokens, lengths=batch.lengths, segments=batch.segments).hidden[batch.mask]
        output = model(batch.tokens, lengths=batch.lengths, segments=batch.segments, state=state)
        hidden, targets = output.hidden[batch.mask], batch.targets[batch.mask]
        total = model.head.nll_sum(hidden, targets)
        divergence = divergence_sum(model, hidden, base, as_base)
        return Loss(
            total=total,
            count=batch.mask.sum().to(total.dtype),
            auxiliary={**output.auxiliary, "kept_close": weight * divergence},
            metrics={"base_divergence": divergence.detach()},
            state=output.state,
        )

    return objective


def divergence_sum(
    model: nn.Module, hidden: Float[Tensor, "N D"], base: Float[Tensor, "N D"], as_base: AsBase
) -> Float[Tensor, ""]:
    """sum_n KL(q_n || p_n) in nats, for the last hidden states of the model and of its base."""

    def of_chunk(own: Tensor, other: Tensor) -> Tensor:
        with torch.no_grad(), as_base(model):
            log_q = model.head.logits(other).log_softmax(-1)
        log_p = model.head.logits(own).log_softmax(-1)
        return (log_q.exp() * (log_q - log_p)).sum(dtype=torch.promote_types(log_p.dtype, torch.float32))

    total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
    for own, other in zip(hidden.split(CHUNK_ROWS), base.split(CHUNK_ROWS), strict=True):
        total = total + checkpoint(of_chunk, own, other, use_reentrant=False, preserve_rng_state=False)
    return total
