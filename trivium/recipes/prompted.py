"""Training what texts begin with: an objective whose batches begin with the active adapter's prompt.

The model's texts go on from a state that has read the prompt, and the prompt is in the graph: everything else (the
objective, the learner, micro-batches, recomputed blocks, evaluation) is as without it.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trivium.adapters.beginning import begin_active, prefix_tokens
from trivium.data.batches import CausalBatch
from trivium.errors import Unsupported
from trivium.objectives.loss import Loss
from trivium.training.learners.supervised import Objective

# Texts at least so long as the longest of their group, in proportion, share its rows: a quarter of them is padding at
# most, and an eighth on average.
_ALIKE = 0.75


def prompted(objective: Objective) -> Objective:
    """``objective`` (called as ``objective(model, batch, state)``), every text of whose batches begins with the active
    adapter's prompt; where that is none, ``objective`` as it is.

    Documents that share a row come apart, into rows of about one length, and each begins with the prompt: packing saves
    less here. The loss is that of the same positions. Raises ``Unsupported`` for rows that carry on from the batch
    before, which have begun already.
    """

    def begun(model: nn.Module, batch: CausalBatch) -> Loss:
        if not prefix_tokens(model):
            return objective(model, batch)
        if batch.continues is not None:
            raise Unsupported(
                "a text that carries on from the last batch cannot begin with a prompt again",
                received="rows that continue, and an adapter that begins texts",
                fix="train on whole texts: leave carry out",
            )
        parts = [batch] if batch.segments is None else list(_apart(batch, batch.segments))
        return _sum([objective(model, part, begin_active(model, [None] * part.rows, _width(part))) for part in parts])

    return begun


def _width(batch: CausalBatch) -> int:
    return batch.tokens.shape[1]


def _apart(batch: CausalBatch, segments: Tensor) -> Iterator[CausalBatch]:
    """The documents of packed rows, one a row, the longest first and those of about one length together."""
    first = torch.ones_like(segments, dtype=torch.bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    begins = first.flatten().nonzero()[:, 0]
    sizes = torch.diff(begins, append=begins.new_tensor([segments.numel()]))
    real = segments.flatten()[begins] >= 0
    sizes, order = sizes[real].sort(descending=True, stable=True)
    begins = begins[real][order]
    counts = sizes.tolist()
    start = 0
    while start < len(counts):
        stop = next((i for i in range(start, len(counts)) if counts[i] < _ALIKE * counts[start]), len(counts))
        lengths, columns = sizes[start:stop], torch.arange(counts[start], device=segments.device)
        places = (begins[start:stop, None] + columns).clamp_max(segments.numel() - 1)
        fields = {name: getattr(batch, name).flatten()[places] for name in ("tokens", "targets", "mask")}
        fields["mask"] &= columns < lengths[:, None]
        yield CausalBatch(lengths=lengths, **fields)
        start = stop


def _sum(losses: Sequence[Loss]) -> Loss:
    """One loss of several, from whose states nothing goes on: their caches need not be kept."""
    first, *rest = losses
    total = dataclasses.replace(first, state=None)
    for loss in rest:
        total = Loss(
            total=total.total + loss.total,
            count=total.count + loss.count,
            auxiliary={name: value + loss.auxiliary[name] for name, value in total.auxiliary.items()},
            metrics={name: value + loss.metrics[name] for name, value in total.metrics.items()},
        )
    return total
