"""How many numbers a model has, and how many of them are trained; packed weights count as what they stand for."""

from collections.abc import Collection

from torch import Tensor, nn

from trivium.nn.quantized import NF4Linear
from trivium.nn.quantized_experts import NF4GroupedLinear


def numbers_in(model: nn.Module, *, without: Collection[Tensor] = ()) -> int:
    """Of all parameters of ``model``, tied ones once, but those in ``without``."""
    left_out = {id(parameter) for parameter in without}
    plain = sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in left_out)
    return plain + sum(map(_packed_in, model.modules()))


def trained_in(model: nn.Module) -> int:
    """Of the parameters of ``model`` that require gradients."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _packed_in(module: nn.Module) -> int:
    match module:
        case NF4Linear():
            return module.out_features * module.in_features
        case NF4GroupedLinear():
            return module.experts * module.outputs * module.inputs
        case _:
            return 0
