"""Operations of a computation: a multiply and an add of every matrix product and of attention, counted as two."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def _product(args: tuple, result: Tensor) -> int:
    """Of ``args[-2] @ args[-1]``: each element of the result is as many as the shared side is long."""
    return 2 * result.numel() * args[-1].shape[-2]


def _linear(args: tuple, result: Tensor) -> int:
    """Of ``x W^T``."""
    return 2 * result.numel() * args[1].shape[-1]


def _attention(args: tuple, kwargs: dict) -> int:
    """Of scores and of what they weigh; half of them where the future is not seen."""
    query, key, value = args[:3]
    scores = math.prod(query.shape[:3]) * key.shape[2]
    causal = bool(args[4]) if len(args) > 4 else bool(kwargs.get("is_causal"))
    return 2 * scores * (query.shape[3] + value.shape[3]) // (2 if causal else 1)


def _attention_backwards(args: tuple, kwargs: dict) -> int:
    """The scores once more, and four products of their size."""
    query, key = args[1], args[2]
    scores = math.prod(query.shape[:3]) * key.shape[2]
    causal = bool(args[7]) if len(args) > 7 else bool(kwargs.get("is_causal"))
    return 2 * 5 * scores * query.shape[3] // (2 if causal else 1)


def _lstm(args: tuple, _: Any) -> int:
    """Of every step, four gates from the input and from the state before."""
    x, input_weight, state_weight = args[:3]
    return 2 * x.shape[0] * x.shape[1] * (input_weight.numel() + state_weight.numel())


_PRODUCTS: dict[Any, Callable[[tuple, Any], int]] = {
    _aten.mm.default: _product,
    _aten.bmm.default: _product,
    _aten.addmm.default: _product,
    _aten.baddbmm.default: _product,
    _aten.linear.default: _linear,
    torch.ops.mkldnn._linear_pointwise.default: _linear,
    _aten.mkldnn_rnn_layer.default: _lstm,
    _aten.mkldnn_rnn_layer_backward.default: lambda args, result: 2 * _lstm(args, result),
}
_ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backwards,
}


def operations_of(func: Any, args: tuple, kwargs: dict, result: Any) -> int:
    """Of one call of an operation of PyTorch's; 0 of what is no product."""
    if func in _PRODUCTS:
        return _PRODUCTS[func](args, result)
    return _ATTENTION[func](args, kwargs) if func in _ATTENTION else 0
