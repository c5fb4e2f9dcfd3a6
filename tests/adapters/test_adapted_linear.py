"""What a linear layer keeps of its adapters between steps is never older than the adapters."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.attach import adapter_parameters, attach, remove
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate, route
from trivium.models.llama import Llama, LlamaConfig

ROWS: list[str | None] = ["one", "two", "three"]
CONFIG = LoRAConfig(rank=2, targets="all-linear")


def build() -> nn.Module:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocabulary_size=29, width=32, layers=2, heads=4, key_value_heads=2, inner_width=48))
    for name in ROWS:
        assert name is not None
        attach(model.double(), name, CONFIG)
        fill(model, name)
    return model.eval()


@torch.no_grad()
def fill(model: nn.Module, name: str) -> None:
    for parameter in adapter_parameters(model, name).values():
        parameter.normal_(std=0.3)


@torch.inference_mode()
def step(model: nn.Module, tokens: Tensor) -> Tensor:
    with route(model, ROWS):
        return model(tokens).hidden


@torch.inference_mode()
def alone(model: nn.Module, tokens: Tensor) -> Tensor:
    rows = []
    for place, name in enumerate(ROWS):
        activate(model, name)
        rows.append(model(tokens[place : place + 1]).hidden)
    activate(model, None)
    return torch.cat(rows)


def written(model: nn.Module) -> None:
    fill(model, "two")


def replaced(model: nn.Module) -> None:
    """As moving to another kind of device does: new parameters in place of the old ones."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach() * 0.9))


def pointed_elsewhere(model: nn.Module) -> None:
    for parameter in adapter_parameters(model, "two").values():
        parameter.data = parameter.data * 0.5


def taken_away(model: nn.Module) -> None:
    remove(model, "two")
    attach(model, "two", CONFIG)
    fill(model, "two")


@pytest.mark.parametrize("change", [written, replaced, pointed_elsewhere, taken_away])
def test_follows_its_adapters(change: Callable[[nn.Module], None]):
    model = build()
    tokens = torch.randint(0, 29, (len(ROWS), 1))
    torch.testing.assert_close(step(model, tokens), alone(model, tokens), rtol=0, atol=1e-12)
    before = step(model, tokens)  # once more: what was kept last is of one adapter alone
    change(model)
    after = step(model, tokens)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, alone(model, tokens), rtol=0, atol=1e-12)


def test_keeps_what_it_made_while_nothing_changes(monkeypatch: pytest.MonkeyPatch):
    model, made = build(), []
    stacked = AdaptedLinear._stacked
    monkeypatch.setattr(AdaptedLinear, "_stacked", lambda self, names: (made.append(names), stacked(self, names))[1])
    tokens = torch.randint(0, 29, (len(ROWS), 1))
    first = step(model, tokens)
    layers = len(made)
    assert layers > 0
    assert torch.equal(step(model, tokens), first)
    assert len(made) == layers


@pytest.mark.parametrize("length", [1, 20])
@pytest.mark.parametrize("rows", [["one", "two", "three"], ["three", "one", None, "one", "two"]])
def test_in_any_order_and_length(rows: list[str | None], length: int):
    model = build()
    tokens = torch.randint(0, 29, (len(rows), length))
    with torch.inference_mode(), route(model, rows):
        together = model(tokens).hidden
    for place, name in enumerate(rows):
        activate(model, name)
        with torch.inference_mode():
            torch.testing.assert_close(together[place], model(tokens[place : place + 1]).hidden[0], rtol=0, atol=1e-12)
