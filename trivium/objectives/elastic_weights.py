"""Elastic weight consolidation: what an earlier task needs is held where it is (Kirkpatrick et al. 2017, equation 3).

    L(theta) = L_new(theta) + sum_i lambda / 2 * F_i * (theta_i - theta*_i)^2

theta* are the weights after the earlier task and F the diagonal of its Fisher information, by which a weight counts
that the earlier answers depend on. F is taken as it is defined, over labels drawn from the *model's own* distribution;
with the labels of the data it would be the "empirical Fisher", which is another quantity (Kunstner et al. 2019, section
3). Of several tasks there is one penalty: Fishers are added up, earlier ones fading, about the latest weights (Schwarz
et al. 2018, "Progress and compress", section 3.1, equation 9).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, DataError
from trivium.nn.evaluating import evaluating
from trivium.nn.head import CHUNK_ROWS
from trivium.nn.state import State
from trivium.objectives.loss import Loss

_IMPORTANCE, _ANCHOR = "importance/", "anchor/"


@dataclass(frozen=True, kw_only=True)
class Consolidated:
    """What earlier tasks need, by the names of the parameters that it is about."""

    importance: Mapping[str, Tensor]
    """F: how much the earlier answers depend on each number, in nats a token and squared unit of it."""
    anchors: Mapping[str, Tensor]
    """theta*: where the parameters were."""

    def after(self, latest: "Consolidated", *, decay: float = 1.0) -> "Consolidated":
        """Of this and one more task: F <- decay * F + F_latest, about the latest weights."""
        assert self.importance.keys() == latest.importance.keys(), "of the same parameters"
        importance = {name: decay * self.importance[name] + own for name, own in latest.importance.items()}
        return Consolidated(importance=importance, anchors=latest.anchors)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, to be saved."""
        importance = {_IMPORTANCE + name: tensor for name, tensor in self.importance.items()}
        return importance | {_ANCHOR + name: tensor for name, tensor in self.anchors.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "Consolidated":
        """What `tensors` gave."""
        parts = [
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in (_IMPORTANCE, _ANCHOR)
        ]
        return cls(importance=parts[0], anchors=parts[1])

    def penalty(self, model: nn.Module) -> Float[Tensor, ""]:
        """sum_i F_i / 2 * (theta_i - theta*_i)^2, differentiable."""
        parameters = dict(model.named_parameters())
        terms = [
            (importance * (parameters[name] - self.anchors[name]).square()).sum()
            for name, importance in self.importance.items()
        ]
        return torch.stack(terms).sum() / 2


def consolidated(
    model: nn.Module,
    batches: Iterable[CausalBatch],
    *,
    seed: int,
    reading: Callable[[Callable[..., Loss]], Callable[..., Loss]] | None = None,
) -> Consolidated:
    """What ``model``, as it is now, needs of its trained parameters to predict the tokens of ``batches``.

    The scores of the tokens, with labels drawn by the model, have mean 0 and are independent given the text. So the
    square of a row's *summed* score has the sum of the tokens' squares as its mean: one backward pass a row gives an
    unbiased estimate. F is a mean over tokens. ``reading`` makes an objective read texts as they will be read in
    training, after a prompt say. Raises `DataError` where there is no token to predict.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    importance = {name: torch.zeros_like(parameter) for name, parameter in trained.items()}
    device = next(iter(trained.values())).device
    generator = torch.Generator(device).manual_seed(seed)
    objective = own_labels(generator) if reading is None else reading(own_labels(generator))
    count = 0
    with evaluating(model):
        for row in (row for batch in batches for row in batch.to(device).split(batch.rows)):
            loss = objective(model, row)
            gradients = torch.autograd.grad(loss.total, list(trained.values()), allow_unused=True)
            for total, gradient in zip(importance.values(), gradients, strict=True):
                if gradient is not None:
                    total.addcmul_(gradient, gradient)
            count += int(loss.count)
    if not count:
        raise DataError("there is no text to tell which weights matter", received="no token to predict")
    for total in importance.values():
        total.div_(count)
    return Consolidated(
        importance=importance, anchors={name: parameter.detach().clone() for name, parameter in trained.items()}
    )


def own_labels(generator: torch.Generator) -> Callable[..., Loss]:
    """The objective ``(model, batch[, state]) -> Loss`` that is -log p of labels drawn by the model itself, at the
    positions that are predicted."""

    def objective(model: nn.Module, batch: CausalBatch, state: State | None = None) -> Loss:
        output = model(batch.tokens, lengths=batch.lengths, segments=batch.segments, state=state)
        hidden = output.hidden[batch.mask]
        total = model.head.nll_sum(hidden, drawn(model, hidden.detach(), generator))
        return Loss(total=total, count=batch.mask.sum().to(total.dtype))

    return objective


@torch.no_grad()
def drawn(model: nn.Module, hidden: Float[Tensor, "N D"], generator: torch.Generator) -> Int[Tensor, "N"]:
    """One label of each position, from the model's distribution, by its inverse; in chunks of positions."""
    labels = []
    for chunk in hidden.split(CHUNK_ROWS):
        cumulative = model.head.logits(chunk).double().softmax(-1).cumsum(-1)
        point = torch.rand(len(chunk), 1, dtype=torch.float64, device=chunk.device, generator=generator)
        found = torch.searchsorted(cumulative, point * cumulative[:, -1:], right=True)[:, 0]
        labels.append(found.clamp(max=cumulative.shape[-1] - 1))
    return torch.cat(labels) if labels else hidden.new_zeros(0, dtype=torch.long)


def elastic(objective: Callable[..., Loss], held: Consolidated, weight: float) -> Callable[..., Loss]:
    """``objective`` with the penalty, ``weight`` being lambda. Raises `ConfigError` for one below 0.

    The penalty is a loss of the whole model and not of a token, so it is added as often as tokens are counted: divided
    by the count it is the penalty once, whatever the micro-batches.
    """
    if not weight >= 0:
        raise ConfigError("the weight of the penalty must not be negative", received=weight)

    def penalised(model: nn.Module, batch: Any, *state: Any) -> Loss:
        loss = objective(model, batch, *state)
        loss.auxiliary = {**loss.auxiliary, "elastic_weights": weight * held.penalty(model) * loss.count}
        return loss

    return penalised
