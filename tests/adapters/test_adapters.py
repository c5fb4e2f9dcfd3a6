"""One contract for every adapter, and what is particular to a LoRA."""

import pathlib

import pytest
import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach, detach, merge, remove, unmerge
from trivium.adapters.beginning import begin
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate, route
from trivium.adapters.sites import sites
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import ConfigError, Unsupported
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.quantized import quantise_linears

ADAPTERS = {"lora": LoRAConfig(rank=3, targets="all-linear"), "prefix": PrefixConfig(tokens=3)}
MODELS = ("gpt2", "llama")


def build(kind: str) -> nn.Module:
    torch.manual_seed(1)
    if kind == "gpt2":
        model: nn.Module = GPT2(GPT2Config(vocabulary_size=29, width=16, layers=2, heads=2, context_tokens=32))
    else:
        config = LlamaConfig(vocabulary_size=29, width=16, layers=2, heads=4, key_value_heads=2, inner_width=24)
        model = Llama(config)
    return model.double().eval()


def randomise(model: nn.Module, name: str) -> None:
    """Adapters begin without effect: give this one some."""
    with torch.no_grad():
        for parameter in adapter_parameters(model, name).values():
            parameter.normal_(std=0.3)


def hidden(model: nn.Module, tokens: Tensor, rows: list[str | None]) -> Tensor:
    with route(model, rows):
        return model(tokens, state=begin(model, rows, tokens.shape[1])).hidden


@pytest.mark.parametrize("adapter", list(ADAPTERS))
@pytest.mark.parametrize("kind", MODELS)
def test_contract(kind: str, adapter: str, tmp_path: pathlib.Path):
    """Attach, parameters, gradients, save, load, route, detach."""
    model, tokens = build(kind), torch.randint(0, 29, (3, 6))
    names_before = list(model.state_dict())
    bare = model(tokens).hidden
    attach(model, "mine", ADAPTERS[adapter])
    parameters = adapter_parameters(model, "mine")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == set(parameters)
    assert parameters
    assert adapters_of(model).routing.active == "mine"

    randomise(model, "mine")
    output = hidden(model, tokens, ["mine"] * 3)
    assert (output - bare).abs().max() > 0.01
    output.square().sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name

    save_adapter(tmp_path / "adapter", model, "mine")
    other = build(kind)
    load_adapter(tmp_path / "adapter", other, "yours")
    assert torch.equal(hidden(other, tokens, ["yours"] * 3), output)

    mixed = hidden(model, tokens, ["mine", None, "mine"])
    torch.testing.assert_close(mixed[1], bare[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(mixed[[0, 2]], output[[0, 2]], rtol=0, atol=1e-10)

    detach(model)
    assert list(model.state_dict()) == names_before
    assert torch.equal(model(tokens).hidden, bare)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_merge_and_unmerge(kind: str, quantised: bool):
    model, tokens = build(kind), torch.randint(0, 29, (2, 7))
    if quantised:
        quantise_linears(model)
    bare = model(tokens).hidden
    attach(model, "first", LoRAConfig(rank=2, alpha=6, targets="all-linear"))
    attach(model, "second", LoRAConfig(rank=3, targets=(r"mlp.c_fc" if kind == "gpt2" else "up_proj",)))
    for name in ("first", "second"):
        randomise(model, name)
    activate(model, "first")
    apart = model(tokens).hidden
    merge(model, "first")
    torch.testing.assert_close(model(tokens).hidden, apart, rtol=0, atol=1e-10)
    for refused in (
        lambda: merge(model, "second"),
        lambda: activate(model, None),
        lambda: hidden(model, tokens, [None]),
    ):
        with pytest.raises(Unsupported, match="'first' is merged"):
            refused()
    unmerge(model)
    assert torch.equal(model(tokens).hidden, apart)
    activate(model, None)
    assert torch.equal(model(tokens).hidden, bare)
    merge(model, "first")
    detach(model)
    assert not list(holders(model))
    torch.testing.assert_close(model(tokens).hidden, apart, rtol=0, atol=1e-10)


def test_merge_in_fp32():
    """The sum is taken in fp32 and rounded once, also when the weights are bf16."""
    model = build("llama").to(torch.bfloat16)
    attach(model, "mine", LoRAConfig(rank=2, targets=("o_proj",)))
    randomise(model, "mine")
    layer = dict(holders(model))["blocks.0.attention.output"]
    old = layer.base.weight.clone()
    (update,) = layer.updates["mine"].children()
    expected = (old.double() + update.scale * (update.B.double() @ update.A.double())).bfloat16()
    merge(model, "mine")
    assert layer.base.weight.dtype == torch.bfloat16
    # One unit in the last place where the fp32 product falls on the other side of a tie.
    different = layer.base.weight != expected
    assert different.float().mean() < 0.01
    unmerge(model)
    assert torch.equal(layer.base.weight, old)


def test_a_prefix_cannot_be_merged():
    model = build("llama")
    attach(model, "mine", PrefixConfig(tokens=2))
    with pytest.raises(Unsupported, match="cannot be merged"):
        merge(model, "mine")


def test_a_new_lora_changes_nothing_and_its_scale_is_alpha_over_rank():
    model, tokens = build("llama"), torch.randint(0, 29, (2, 5))
    bare = model(tokens).hidden
    attach(model, "mine", LoRAConfig(rank=4, alpha=8, targets=("q_proj", "v_proj")))
    assert torch.equal(model(tokens).hidden, bare)
    layer = dict(holders(model))["blocks.1.attention.qkv"]
    randomise(model, "mine")
    queries, values = layer.updates["mine"].children()
    x = torch.randn(3, 16, dtype=torch.float64)
    expected = layer.base(x)
    expected[:, :16] += 2.0 * (x @ queries.A.T @ queries.B.T)
    expected[:, 24:] += 2.0 * (x @ values.A.T @ values.B.T)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    assert LoRAConfig(rank=4, alpha=8, rank_stabilised=True).scale == 4.0


def test_ragged_step():
    """Packed tokens [1, N] of several rows, each with its own adapter."""
    model = build("llama")
    attach(model, "a", LoRAConfig(rank=2, targets="all-linear"))
    attach(model, "b", PrefixConfig(tokens=2))
    for name in ("a", "b"):
        randomise(model, name)
    rows: list[str | None] = [None, "a", "b"]
    pieces = [torch.randint(0, 29, (1, length)) for length in (4, 3, 5)]
    segments = torch.tensor([[0] * 4 + [1] * 3 + [2] * 5])
    with route(model, rows, segments=segments):
        packed = model(torch.cat(pieces, 1), segments=segments, state=begin(model, rows, 5)).hidden
    alone = [hidden(model, piece, [row]) for piece, row in zip(pieces, rows, strict=True)]
    torch.testing.assert_close(packed, torch.cat(alone, 1), rtol=0, atol=1e-10)


def test_routing_ends_with_its_context():
    model, tokens = build("llama"), torch.randint(0, 29, (1, 5))
    attach(model, "mine", LoRAConfig())
    randomise(model, "mine")
    active = model(tokens).hidden
    with pytest.raises(Unsupported, match="rows than those that were routed"), route(model, [None, None]):
        model(tokens)
    assert torch.equal(model(tokens).hidden, active)
    with route(model, [None]):
        assert not torch.equal(model(tokens).hidden, active)
    assert torch.equal(model(tokens).hidden, active)


def test_errors():
    model = build("llama")
    before = list(model.state_dict())
    with pytest.raises(ConfigError, match=r"matches no linear layer(.|\n)*self_attn.q_proj(.|\n)*mlp.down_proj"):
        attach(model, "mine", LoRAConfig(targets=("q_proj", "query")))
    with pytest.raises(ConfigError, match=r"rank is larger(.|\n)*k_proj(.|\n)*at most 8"):
        attach(model, "mine", LoRAConfig(rank=12, targets=("q_proj", "k_proj")))
    with pytest.raises(ConfigError, match="no regular expression"):
        attach(model, "mine", LoRAConfig(targets="(q_proj"))
    with pytest.raises(ConfigError, match="a name of its own"):
        attach(model, "my.own", LoRAConfig())
    with pytest.raises(ConfigError, match="has no adapters"):
        merge(model, "mine")
    assert list(model.state_dict()) == before
    assert all(parameter.requires_grad for parameter in model.parameters())
    attach(model, "mine", LoRAConfig())
    with pytest.raises(ConfigError, match="not one of mine"):
        attach(model, "mine", LoRAConfig())
    with (
        pytest.raises(ConfigError, match=r"no adapter is called 'yours'(.|\n)*expected: mine"),
        route(model, ["yours"]),
    ):
        pass
    recurrent = LSTM(LSTMConfig(vocabulary_size=11, width=8, layers=1))
    with pytest.raises(Unsupported, match="caches keys and values"):
        attach(recurrent, "mine", PrefixConfig())
    with pytest.raises(
        ConfigError, match=r"'all-linear' matches no linear layer(.|\n)*embedding, head(.|\n)*these endings$"
    ):
        attach(recurrent, "mine", LoRAConfig(targets="all-linear"))
    with pytest.raises(ConfigError, match=r"matches no linear layer(.|\n)*embedding, head"):
        attach(recurrent, "mine", LoRAConfig())


def test_sites_cover_every_linear_of_the_blocks():
    for kind in MODELS:
        model = build(kind)
        rows = sum(site.rows for site in sites(model) if site.kind == "linear")
        assert rows == sum(m.out_features for m in model.modules() if isinstance(m, nn.Linear))


def test_one_of_several_is_removed():
    model, tokens = build("llama"), torch.randint(0, 29, (2, 5))
    bare = model(tokens).hidden
    attach(model, "first", LoRAConfig(rank=2, targets=("q_proj",)))
    attach(model, "second", LoRAConfig(rank=2, targets=("q_proj", "o_proj")))
    attach(model, "third", PrefixConfig(tokens=2))
    randomise(model, "first")
    kept = hidden(model, tokens, ["first", "first"])
    remove(model, "second")
    assert adapters_of(model).routing.active == "third"
    remove(model, "third")
    assert adapters_of(model).routing.active is None
    assert [path for path, _ in holders(model)] == ["blocks.0.attention.qkv", "blocks.1.attention.qkv"]
    assert torch.equal(hidden(model, tokens, ["first", "first"]), kept)
    assert torch.equal(model(tokens).hidden, bare)
    with pytest.raises(ConfigError, match="no adapter is called 'second'"):
        remove(model, "second")
