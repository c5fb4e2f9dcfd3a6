"""Updates within the backward pass: a parameter is updated as soon as its gradient is whole, and the gradient goes.

So there is never more than about one gradient at a time, where training usually holds all of them (Lv et al. 2023,
"Full parameter fine-tuning for large language models with limited resources", section 3.1). What needs all gradients at
once cannot be had: clipping by the global norm, several micro-batches, several processes. Of an update whose loss is
not finite nothing is done; where one parameter's gradient is not finite, that parameter is left alone.

    gradient = backward_with_updates([loss], parameters, optimiser.step)        # by then the parameters are updated
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from trivium.errors import Unsupported
from trivium.objectives.loss import Loss
from trivium.runtime import processes
from trivium.training.gradients import Gradient


def require_possible(*, micro_batches: int, clip_norm: float | None) -> None:
    """Raises `Unsupported` for what updates within the backward pass exclude."""
    asked = []
    if clip_norm is not None:
        asked.append(f"clip_norm {clip_norm:g} (the norm of all gradients is known when the first is gone)")
    if micro_batches > 1:
        asked.append(f"micro_batches {micro_batches} (gradients would have to be kept and added)")
    if processes.place().world > 1:
        asked.append(f"{processes.place().world} processes (gradients are added up after the backward pass)")
    if asked:
        raise Unsupported(
            "updates within the backward pass never hold all gradients at once",
            received=", ".join(asked),
            expected="clip_norm null, micro_batches 1, one process",
            fix="set these, or do not update within the backward pass",
        )


def backward_with_updates(losses: Iterable[Loss], parameters: Sequence[Tensor], step: Callable[[], None]) -> Gradient:
    """Back-propagates the mean of the one loss, calling ``step`` each time that one parameter has its gradient.

    ``step`` is to update the parameters that have a gradient, as an optimiser's does: that is one at a time. The norm
    told is that of all gradients, none of which is left.
    """
    (loss,) = losses
    squares: list[Tensor] = []
    count = loss.count.detach().double()
    whole = sum(loss.auxiliary.values(), start=loss.total)
    finite = bool(torch.isfinite(whole.detach())) and float(count) > 0
    if finite:
        with _as_gradients_come(parameters, step, squares):
            (whole / loss.count).backward()
    norm = float(torch.stack(squares).sum().sqrt()) if squares else float("nan")
    named = {f"auxiliary/{name}": value for name, value in loss.auxiliary.items()} | loss.metrics
    metrics = {name: float(value.detach() / count) for name, value in named.items()}
    return Gradient(float(loss.total.detach() / count), float(count), norm, finite and math.isfinite(norm), metrics)


@contextlib.contextmanager
def _as_gradients_come(parameters: Sequence[Tensor], step: Callable[[], None], squares: list[Tensor]) -> Iterator[None]:
    """Within the block each parameter is updated when the backward pass has finished with it.

    By then every part of the graph that reads the parameter has been run backwards, so nothing still needs its value.
    """

    def arrived(parameter: Tensor) -> None:
        assert parameter.grad is not None
        square = parameter.grad.to(torch.promote_types(parameter.grad.dtype, torch.float32)).square().sum()
        squares.append(square)
        if torch.isfinite(square):
            step()
        parameter.grad = None

    hooks = [
        parameter.register_post_accumulate_grad_hook(arrived) for parameter in parameters if parameter.requires_grad
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
