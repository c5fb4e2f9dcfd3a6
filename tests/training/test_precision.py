"""bfloat16 where the hardware has it, refused elsewhere."""

import pytest
import torch

from trivium.errors import UserError
from trivium.nn.linear import Linear
from trivium.runtime import device, machine
from trivium.training.precision import autocast

CPU = torch.device("cpu")


def product_dtype(precision: str) -> torch.dtype:
    with autocast(precision, CPU):
        return Linear(2, 2)(torch.ones(2, 2)).dtype


def test_float32_is_left_alone() -> None:
    assert product_dtype("float32") == torch.float32


def test_bfloat16_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: ("avx512f", "avx512_bf16"))
    assert product_dtype("bfloat16") == product_dtype("auto") == torch.bfloat16


def test_bfloat16_is_refused_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: ("avx512f",))
    assert device.why_not_bfloat16(CPU)
    with pytest.raises(UserError, match="emulate"):
        autocast("bfloat16", CPU)
    assert product_dtype("auto") == torch.float32
