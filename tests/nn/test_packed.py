"""Weights that are laid out once: the same products, for as long as the context lasts and for few rows."""

from typing import Any

import pytest
import torch
from torch import nn

from trivium.adapters.attach import attach
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate
from trivium.adapters.sites import ALL_LINEAR
from trivium.lm.local import LocalModel
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear
from trivium.nn.onednn import prefers_onednn
from trivium.nn.output import Output
from trivium.nn.packed import MOST_ROWS, Packable, packed

pytestmark = pytest.mark.skipif(not prefers_onednn(), reason="packs only where oneDNN is the faster library")


def laid_out(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, Packable) and module.packed]


def lora() -> GPT2:
    """A GPT-2 whose LoRA adds something."""
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocabulary_size=64, width=32, layers=2, heads=2, context_tokens=64)).eval()
    attach(model, "policy", LoRAConfig(rank=2, alpha=8.0, targets=ALL_LINEAR, dropout=0.5))
    disturb(model)
    return model.eval()


def disturb(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)


@torch.no_grad()
def test_a_layer_and_a_head_give_the_same_in_every_bit() -> None:
    layer, head = Linear(24, 40), OutputHead(24, 50, scale=0.5, soft_cap=3.0, bias=True)
    nn.init.normal_(head.weight)
    x = torch.randn(8, 24)
    expected = layer(x), head.logits(x)
    both = nn.ModuleList([layer, head])
    with packed(both, 8):
        assert laid_out(both) == ["0", "1"]
        torch.testing.assert_close((layer(x), head.logits(x)), expected, rtol=1e-6, atol=1e-6)
    assert not laid_out(both)


def test_it_is_of_few_rows_and_of_no_training_pass() -> None:
    layer = Linear(24, 40)
    with packed(layer, 8):
        assert layer.packed is not None
        assert not layer.packed.fits(torch.randn(8, 24))  # gradients are on
        with torch.no_grad():
            assert layer.packed.fits(torch.randn(MOST_ROWS, 24))
            assert not layer.packed.fits(torch.randn(MOST_ROWS + 1, 24))
            assert not layer.packed.fits(torch.randn(0, 24))
        x = torch.randn(8, 24, requires_grad=True)
        layer(x).sum().backward()
        assert x.grad is not None
    assert layer.packed is None


def test_what_fails_inside_leaves_nothing_packed() -> None:
    layer = Linear(24, 40)
    with pytest.raises(KeyError), packed(layer, 8):
        raise KeyError
    assert layer.packed is None


@torch.no_grad()
def test_the_active_adapter_is_folded_in() -> None:
    model = lora()
    tokens = torch.randint(64, (4, 5))
    expected = model.head.logits(model(tokens).hidden)
    with packed(model, 4):
        assert "blocks.0.attention.qkv" in laid_out(model)
        assert not [path for path in laid_out(model) if ".base" in path]
        torch.testing.assert_close(model.head.logits(model(tokens).hidden), expected, rtol=1e-4, atol=1e-5)
    activate(model, None)
    without = model.head.logits(model(tokens).hidden)
    assert (without - expected).abs().max() > 0.01
    with packed(model, 4):
        assert "blocks.0.attention.qkv.base" in laid_out(model)
        torch.testing.assert_close(model.head.logits(model(tokens).hidden), without, rtol=1e-4, atol=1e-5)


def test_dropout_of_an_adapter_that_is_trained_is_not_folded_away() -> None:
    model = lora().train()
    with packed(model, 4):
        assert "blocks.0.attention.qkv.base" in laid_out(model)


@torch.no_grad()
@pytest.mark.parametrize("config", [IA3Config(), BottleneckConfig(width=4)])
def test_adapters_of_other_kinds_answer_as_before(config: IA3Config | BottleneckConfig) -> None:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocabulary_size=64, width=32, layers=2, heads=2, inner_width=48)).eval()
    attach(model, "other", config)
    disturb(model)
    model.eval()
    tokens = torch.randint(64, (4, 5))
    expected = model.head.logits(model(tokens).hidden)
    with packed(model, 4):
        assert laid_out(model)
        torch.testing.assert_close(model.head.logits(model(tokens).hidden), expected, rtol=1e-4, atol=1e-5)


def test_what_a_policy_writes_is_written_with_packed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what it writes without them; one row has a product of its own."""
    model = LocalModel(lora())
    asked = [[1, 2, 3], [4, 5, 6]]
    seen: list[int] = []
    advance = GPT2.forward

    def watched(self: GPT2, *given: Any, **named: Any) -> Output:
        seen.append(len(laid_out(self)))
        return advance(self, *given, **named)

    monkeypatch.setattr(GPT2, "forward", watched)
    written = model.sample(asked, [1, 2], max_new_tokens=12)
    assert min(seen) > 0 and not laid_out(model.network)
    seen.clear()
    alone = [model.sample([each], [seed], max_new_tokens=12)[0] for each, seed in zip(asked, [1, 2], strict=True)]
    assert max(seen) == 0
    assert [answer.token_ids for answer in written] == [answer.token_ids for answer in alone]
