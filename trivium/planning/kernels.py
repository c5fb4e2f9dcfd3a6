"""What kernels of the CPU allocate for themselves, which no operation shows; measured on oneDNN of torch 2.13."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

_LINEAR = torch.ops.mkldnn._linear_pointwise.default
_LSTM = torch.ops.aten.mkldnn_rnn_layer.default
_GATES = 4
# Below some dozens of steps the kernel rounds up to whole pages, and does not grow by as much with each.
_FEW_STEPS = (64, 128)


def scratch_bytes(func: Any, args: tuple) -> int:
    """What a call has beside its result and gives back at its end.

    A linear layer by oneDNN lays out anew an input whose rows do not lie in memory one after the other (that of a
    weight's gradient); an LSTM lays out its two matrices, and keeps the sums of all gates for a while.
    """
    if func is _LINEAR:
        return 0 if args[0].is_contiguous() else args[0].nbytes
    if func is _LSTM:
        x, input_weight, state_weight = args[:3]
        return input_weight.nbytes + state_weight.nbytes + x.shape[0] * x.shape[1] * _GATES * args[10] * x.itemsize
    return 0


def result_of(func: Any, args: tuple, result: Any) -> Any:
    """``result`` as the kernel gives it, where what is known of shapes leaves something out.

    That is what an LSTM keeps for its backward pass. Its size is asked of the kernel for a few steps of the text: it
    grows by as much with each.
    """
    if func is not _LSTM or not torch.is_grad_enabled():
        return result
    *others, workspace = result
    return *others, workspace.new_empty(_workspace_bytes(args), dtype=torch.uint8)


def _workspace_bytes(args: tuple) -> int:
    steps = args[0].shape[0]
    few, more = (_asked(args, count) for count in _FEW_STEPS)
    return few + (more - few) * (steps - _FEW_STEPS[0]) // (_FEW_STEPS[1] - _FEW_STEPS[0])


def _asked(args: tuple, steps: int) -> int:
    with _disable_current_modes():
        text = torch.zeros(steps, *args[0].shape[1:], requires_grad=True)
        given = [torch.zeros(leaf.shape) if isinstance(leaf, Tensor) else leaf for leaf in args[1:]]
        return _LSTM(text, *given)[-1].nbytes
