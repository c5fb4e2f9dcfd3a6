"""From losses to a gradient that may be applied: accumulate, reduce, check, scale, clip. Every learner uses these.

A gradient is (sum of losses over all micro-batches and processes)' / (their true count). So micro-batches are
back-propagated as sums and the division comes once, at the end; averaging averages would weigh short micro-batches too
heavily (transformers #34191).
"""

import dataclasses
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from trivium.objectives.loss import Loss
from trivium.runtime import processes

_BUCKET_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Gradient:
    """What one accumulation window came to, over all processes, and whether its gradient may be applied."""

    loss: float
    """Mean of the objective over the counted positions, without auxiliary losses."""
    count: float
    """Number of positions."""
    norm: float
    """L2 norm of the gradient of the mean, auxiliary losses included, before clipping."""
    finite: bool
    """Whether the loss and every element of the gradient are finite. If not, the gradients are of no use."""
    metrics: dict[str, float]
    """The objective's metrics and its auxiliary losses ("auxiliary/<name>"), as means over the same count."""


def backward(losses: Iterable[Loss], parameters: Sequence[Tensor], clip_norm: float | None) -> Gradient:
    """Leaves in `parameter.grad` the gradient of the mean over the whole window, clipped to `clip_norm`.

    `losses` may be a generator: each loss is made, back-propagated and freed before the next is asked for. Gradients
    must be empty before. Where the result is not `finite` they are unscaled and must be dropped.
    """
    sums = _Sums()
    for loss in losses:
        sum(loss.auxiliary.values(), start=loss.total).backward()
        sums.add(loss)
    values = sums.reduced(parameters[0].device)
    reduce_gradients(parameters)
    total, count = values.pop("total"), values.pop("count")
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = global_norm(gradients) / count if count else float("nan")
    whole = total + sum(value for name, value in values.items() if name.startswith("auxiliary/"))
    finite = bool(torch.isfinite(torch.tensor([whole, norm], dtype=torch.float64)).all())
    if finite:
        clip = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + 1e-6))
        torch._foreach_mul_(gradients, clip / count)
    means = {name: value / count if count else float("nan") for name, value in values.items()}
    return Gradient(total / count if count else float("nan"), count, norm, finite, means)


class _Sums:
    """Running sums of what losses report, kept on their device until the end of the window."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, loss: Loss) -> None:
        named = {"total": loss.total, "count": loss.count}
        named |= {f"auxiliary/{name}": value for name, value in loss.auxiliary.items()}
        for name, value in (named | loss.metrics).items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def reduced(self, device: torch.device) -> dict[str, float]:
        """The sums over all processes, which must have reported the same names."""
        numbers = torch.stack([value.to(device) for value in self._sums.values()])
        return dict(zip(self._sums, processes.sum_over_processes(numbers).tolist(), strict=True))


def reduce_gradients(parameters: Sequence[Tensor]) -> None:
    """Sums gradients over processes, in buckets. Sharded parameters are left alone: FSDP has summed theirs.

    A parameter that no process used keeps no gradient; one that some did not use counts as zero there.
    """
    ours = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    if not dist.is_initialized() or not ours:
        return
    used = torch.tensor([parameter.grad is not None for parameter in ours], dtype=torch.int32, device=ours[0].device)
    for parameter, anywhere in zip(ours, processes.sum_over_processes(used).tolist(), strict=True):
        if anywhere and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([parameter.grad for parameter in ours if parameter.grad is not None]):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        processes.sum_over_processes(flat)
        parts = flat.split([gradient.numel() for gradient in bucket])
        torch._foreach_copy_(bucket, [p.view_as(g) for p, g in zip(parts, bucket, strict=True)])


def global_norm(gradients: Sequence[Tensor]) -> float:
    """L2 norm over all elements of all gradients, wherever their shards are; NaN or infinite if one element is."""
    if not gradients:
        return 0.0
    shards = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
    squares = torch.stack(torch._foreach_norm(shards)).square()
    sharded = torch.tensor([isinstance(gradient, DTensor) for gradient in gradients], device=squares.device)
    apart = processes.sum_over_processes((squares * sharded).sum()) if bool(sharded.any()) else 0.0
    return float((apart + squares.masked_fill(sharded, 0.0).sum()).sqrt())


def _buckets(gradients: Sequence[Tensor]) -> Iterable[list[Tensor]]:
    """Neighbours of one dtype, together at most `_BUCKET_BYTES` unless a single one is larger."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > _BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket
