"""Numbers are counted as what they stand for, packed or not, and shared ones once."""

from typing import Any

import torch

from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.counting import numbers_in, trained_in
from trivium.adapters.lora import LoRAConfig
from trivium.models.mixtral import Mixtral, MixtralConfig
from trivium.nn.quantized import quantise_linears


def mixture() -> Mixtral:
    torch.manual_seed(1)
    shape: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "key_value_heads": 2, "inner_width": 24}
    return Mixtral(MixtralConfig(vocabulary_size=32, experts=2, **shape))


def test_a_packed_model_has_as_many_numbers_as_it_had():
    plain = numbers_in(mixture())
    assert plain == trained_in(mixture()) == sum(parameter.numel() for parameter in mixture().parameters())
    packed = mixture()
    quantise_linears(packed)
    assert sum(parameter.numel() for parameter in packed.parameters()) < numbers_in(packed) == plain


def test_an_adapter_is_what_trains_and_can_be_left_out():
    model = mixture()
    whole = numbers_in(model)
    attach(model, "mine", LoRAConfig(rank=2))
    own = adapter_parameters(model, "mine").values()
    assert trained_in(model) == sum(parameter.numel() for parameter in own) > 0
    assert numbers_in(model) == whole + trained_in(model) and numbers_in(model, without=own) == whole
