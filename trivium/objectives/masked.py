"""Masked-token prediction (Devlin et al. 2018, section 3.1, task 1): the corruption and its loss."""

from collections.abc import Collection

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.data.batches import MaskedBatch
from trivium.objectives.loss import Loss


def mask_tokens(
    tokens: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    *,
    mask_id: int,
    vocabulary_size: int,
    special_ids: Collection[int] = (),
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> MaskedBatch:
    """Chooses each token with probability ``rate`` and corrupts the chosen ones.

    Of the chosen, 80 % become ``mask_id``, 10 % a random piece (which may be the right one, as published)
    and 10 % stay as they are: the model never knows which of the tokens it sees are true. Padding and
    ``special_ids`` are never chosen. A batch in which chance chose nothing gets one choice, for a mean over
    nothing is no number.
    """
    shape, device = tokens.shape, tokens.device
    choosable = torch.arange(shape[1], device=device) < lengths[:, None]
    if special_ids:
        choosable &= ~torch.isin(tokens, torch.tensor(sorted(special_ids), device=device))
    chances = torch.rand(shape, generator=generator, device=device)
    chosen = choosable & (chances < rate)
    if not bool(chosen.any()) and bool(choosable.any()):
        least = chances.masked_fill(~choosable, 2.0).argmin()
        chosen.view(-1)[least] = True
    fate = torch.rand(shape, generator=generator, device=device)
    random = torch.randint(vocabulary_size, shape, generator=generator, device=device)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, tokens)
    corrupted = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), random, corrupted)
    return MaskedBatch(tokens=corrupted, targets=tokens, mask=chosen, lengths=lengths)


def masked(model: nn.Module, batch: MaskedBatch) -> Loss:
    """Negative log-likelihood (nats) of the original ids at the corrupted positions."""
    output = model(batch.tokens, lengths=batch.lengths)
    total = model.head.nll_sum(output.hidden[batch.mask], batch.targets[batch.mask])
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), auxiliary=output.auxiliary)
