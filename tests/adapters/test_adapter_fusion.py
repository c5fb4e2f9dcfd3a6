"""AdapterFusion over bottlenecks that were trained apart."""

import pathlib

import pytest
import torch
from torch import Tensor, nn

from trivium.adapters.adapter_fusion import AdapterFusionConfig, Fusion
from trivium.adapters.attach import adapter_parameters, attach, remove
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate, route
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import ConfigError, Unsupported
from trivium.models.gpt2 import GPT2, GPT2Config


def build(dtype: torch.dtype = torch.float64) -> nn.Module:
    """With two bottleneck adapters of unequal width, and a LoRA."""
    torch.manual_seed(1)
    model = GPT2(GPT2Config(vocabulary_size=29, width=16, layers=2, heads=2, context_tokens=32)).to(dtype).eval()
    attach(model, "lora", LoRAConfig(rank=2, targets=("c_attn",)))
    attach(model, "news", BottleneckConfig(width=4))
    attach(model, "law", BottleneckConfig(width=3, activation="relu"))
    for name in ("lora", "news", "law"):
        randomise(model, name)
    return model


def randomise(model: nn.Module, name: str) -> None:
    with torch.no_grad():
        for parameter in adapter_parameters(model, name).values():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)


def tokens() -> Tensor:
    return torch.randint(29, (3, 6), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_equations(dtype: torch.dtype):
    """Token by token, with every key and value written out (section 3.2)."""
    model, x = build(dtype), torch.randn(2, 3, 16, dtype=dtype)
    attach(model, "both", AdapterFusionConfig(adapters=("news", "law")))
    randomise(model, "both")
    seats = dict(holders(model, "both"))
    assert len(seats) == 4
    seat = seats["blocks.1.after_feedforward"]
    fusion = seat.update("both")
    assert isinstance(fusion, Fusion)
    said = [seat.update(name)(x) for name in ("news", "law")]
    query, keys = x @ fusion.query.T, [z @ fusion.key.T for z in said]
    weights = torch.softmax(torch.stack([(query * key).sum(-1) for key in keys], dim=-1), dim=-1)
    expected = x + sum(weights[..., [n]] * (said[n] @ fusion.value.T) for n in range(2))
    torch.testing.assert_close(seat(x), expected, rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-5)


def test_only_the_fusion_trains_and_its_parts_stay():
    model = build()
    attach(model, "both", AdapterFusionConfig(adapters=("news", "law")))
    parameters = adapter_parameters(model, "both")
    model(tokens()).hidden.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in parameters.values())
    for name in ("news", "law"):
        assert not any(p.requires_grad for p in adapter_parameters(model, name).values())
        with pytest.raises(Unsupported, match=r"made of(.|\n)*both needs(.|\n)*remove both first"):
            remove(model, name)
    remove(model, "both")
    remove(model, "news")
    activate(model, "law")
    assert len(list(holders(model, "law"))) == 4


def test_rows_of_one_batch():
    model = build()
    attach(model, "both", AdapterFusionConfig(adapters=("news", "law")))
    randomise(model, "both")
    rows: list[str | None] = ["both", "news", "lora"]
    with route(model, rows):
        together = model(tokens()).hidden
    for b, row in enumerate(rows):
        with route(model, [row]):
            torch.testing.assert_close(together[[b]], model(tokens()[[b]]).hidden, rtol=0, atol=1e-10)


def test_saved_beside_its_parts(tmp_path: pathlib.Path):
    model = build()
    attach(model, "both", AdapterFusionConfig(adapters=("news", "law")))
    randomise(model, "both")
    for name in ("news", "law", "both"):
        save_adapter(tmp_path / name, model, name)
    other = GPT2(model.config).double().eval()
    other.load_state_dict(build_base().state_dict())
    with pytest.raises(ConfigError, match="has no adapters"):
        load_adapter(tmp_path / "both", other, "both")
    load_adapter(tmp_path / "news", other, "news")
    with pytest.raises(ConfigError, match="no adapter is called 'law'"):
        load_adapter(tmp_path / "both", other, "both")
    load_adapter(tmp_path / "law", other, "law")
    load_adapter(tmp_path / "both", other, "both")
    assert torch.equal(other(tokens()).hidden, model(tokens()).hidden)


def build_base() -> nn.Module:
    torch.manual_seed(1)
    return GPT2(GPT2Config(vocabulary_size=29, width=16, layers=2, heads=2, context_tokens=32)).double()


def test_what_cannot_be_fused():
    model = build()
    with pytest.raises(ConfigError, match=r"of bottleneck adapters(.|\n)*lora, LoRAConfig"):
        attach(model, "both", AdapterFusionConfig(adapters=("news", "lora")))
    attach(model, "other", BottleneckConfig(kind="pfeiffer", width=4))
    with pytest.raises(ConfigError, match=r"stand in the same seats(.|\n)*news in 4, other in 2"):
        attach(model, "both", AdapterFusionConfig(adapters=("news", "other")))
    for names in ((), ("news",), ("news", "news")):
        with pytest.raises(ConfigError, match="at least two adapters"):
            AdapterFusionConfig(adapters=names)
