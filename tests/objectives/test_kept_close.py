"""The divergence to the base: its value and gradient against the whole sum, and how the base is computed."""

import contextlib

import pytest
import torch
from torch import nn

from tests.training.toys import batch, tiny_gpt2
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.errors import ConfigError
from trivium.objectives import kept_close as module
from trivium.objectives.causal import causal
from trivium.objectives.kept_close import kept_close


@contextlib.contextmanager
def adapter_off(model: nn.Module):
    routing = model.adapters.routing
    before, routing.active = routing.active, None
    try:
        yield
    finally:
        routing.active = before


def adapted(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    model = tiny_gpt2(dropout=dropout).double()
    attach(model, "mine", LoRAConfig(rank=2, targets=ALL_LINEAR))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
            assert "updates" in name
    return model


def whole(model: nn.Module, weight: float) -> torch.Tensor:
    """The same with all logits at once."""
    data = batch(0)
    own = model.head.logits(model(data.tokens, lengths=data.lengths).hidden[data.mask]).log_softmax(-1)
    with torch.no_grad(), adapter_off(model):
        base = model.head.logits(model(data.tokens, lengths=data.lengths).hidden[data.mask]).log_softmax(-1)
    nll = -own.gather(-1, data.targets[data.mask][:, None]).sum()
    return nll + weight * nn.functional.kl_div(own, base, reduction="sum", log_target=True)


@pytest.mark.parametrize("rows_at_once", [3, 512])
def test_value_and_gradient_in_chunks(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", rows_at_once)
    model = adapted()
    parameters = [p for p in model.parameters() if p.requires_grad]
    loss = kept_close(adapter_off, 0.7)(model, batch(0))
    found = loss.total + loss.auxiliary["kept_close"]
    wanted = whole(model, 0.7)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0.0)
    pairs = zip(torch.autograd.grad(found, parameters), torch.autograd.grad(wanted, parameters), strict=True)
    for own, other in pairs:
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss.metrics["base_divergence"] * 0.7, loss.auxiliary["kept_close"].detach())
    assert float(loss.metrics["base_divergence"]) > 0.01


def test_nothing_diverges_at_the_beginning_and_the_base_has_no_dropout() -> None:
    model = tiny_gpt2(dropout=0.3)
    attach(model, "mine", LoRAConfig(rank=2, targets=ALL_LINEAR))
    model.train()
    modes = [part.training for part in model.modules()]
    objective = kept_close(adapter_off, 1.0)
    assert float(objective(model, batch(0)).metrics["base_divergence"]) > 0.001  # the model's own dropout
    assert [part.training for part in model.modules()] == modes
    model.eval()
    assert float(objective(model, batch(0)).metrics["base_divergence"]) < 1e-6
    assert model.adapters.routing.active == "mine"


def test_the_next_token_loss_is_that_of_causal_and_micro_batches_add_up() -> None:
    model = adapted()
    objective = kept_close(adapter_off, 1.0)
    loss, plain = objective(model, batch(0)), causal(model, batch(0))
    torch.testing.assert_close(loss.total, plain.total)
    assert float(loss.count) == float(plain.count)
    parts = [objective(model, part) for part in batch(0).split(3)]
    torch.testing.assert_close(sum(part.auxiliary["kept_close"] for part in parts), loss.auxiliary["kept_close"])


def test_a_weight_above_zero() -> None:
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="must be above 0"):
            kept_close(adapter_off, weight)
