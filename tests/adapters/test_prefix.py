"""Prefixes: what they start from, the projection they may be trained through, and what they are refused on."""

import pathlib

import pytest
import torch
from torch import nn

from tests.contracts.tracers import TRACERS, texts
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import Prefix, PrefixConfig
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import ConfigError, Unsupported


def build(label: str) -> nn.Module:
    return next(tracer for tracer in TRACERS if tracer.label == label).build()


def prefix_of(model: nn.Module, name: str) -> Prefix:
    prefix = adapters_of(model).prompts[name]
    assert isinstance(prefix, Prefix)
    return prefix


@pytest.mark.parametrize("label", ["llama", "gpt2", "bloom", "mistral", "gemma2"])
def test_it_starts_as_the_text_it_is_told(label: str) -> None:
    """Keys and values of real text are that text, whatever is done with positions; the base learns nothing of it."""
    model = build(label)
    attach(model, "mine", PrefixConfig(tokens=3, text_tokens=(7, 3, 9)))
    text = texts()[:2, :6]
    hidden = model(text, state=begin(model, ["mine", None], 6)).hidden
    words = model(torch.cat([torch.tensor([[7, 3, 9]]), text[:1]], dim=1)).hidden[:, 3:]
    torch.testing.assert_close(hidden[:1], words, rtol=0, atol=1e-10)
    torch.testing.assert_close(hidden[1:], model(text[1:]).hidden, rtol=0, atol=1e-10)
    assert prefix_of(model, "mine").embeddings.is_leaf


def test_a_text_is_repeated_or_cut() -> None:
    model = build("llama").train()
    attach(model, "short", PrefixConfig(tokens=2, text_tokens=(7, 3, 9)))
    attach(model, "long", PrefixConfig(tokens=4, text_tokens=(7, 3)))
    attach(model, "whole", PrefixConfig(tokens=4, text_tokens=(7, 3, 7, 3)))
    assert torch.equal(prefix_of(model, "long").embeddings, prefix_of(model, "whole").embeddings)
    torch.testing.assert_close(
        prefix_of(model, "short").embeddings, prefix_of(model, "long").embeddings[:2], rtol=0, atol=1e-12
    )
    assert model.training, "it was read without dropout, and trains on"


def test_a_projection(tmp_path: pathlib.Path) -> None:
    """Li and Liang 2021, section 4.3: an embedding of each position, two layers with tanh. All of it trains; saved is
    what comes out, which is a plain prefix."""
    model = build("llama")
    attach(model, "mine", PrefixConfig(tokens=3, projection=True, projection_width=5))
    parameters = adapter_parameters(model, "mine")
    shapes = {name.split("mine.")[1]: tuple(parameter.shape) for name, parameter in parameters.items()}
    width = model.config.groups * model.config.width_of_head
    size = model.config.layers * 2 * width
    assert shapes == {
        "embeddings": (3, width),
        "projection.0.weight": (5, width),
        "projection.0.bias": (5,),
        "projection.2.weight": (size, 5),
        "projection.2.bias": (size,),
    }
    hidden = model(texts(), state=begin(model, ["mine"] * 3, 7)).hidden
    hidden.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in parameters.values())
    save_adapter(tmp_path / "prefix", model, "mine")
    other = build("llama")
    load_adapter(tmp_path / "prefix", other, "yours")
    assert adapters_of(other).configs["yours"] == PrefixConfig(tokens=3)
    assert {tuple(p.shape) for p in adapter_parameters(other, "yours").values()} == {(3, size)}
    assert torch.equal(other(texts(), state=begin(other, ["yours"] * 3, 7)).hidden, hidden)


def test_how_many_numbers_it_has() -> None:
    """Keys and values of every layer: P * 2 * L * D."""
    model = build("gpt2")
    attach(model, "mine", PrefixConfig(tokens=5))
    count = sum(parameter.numel() for parameter in adapter_parameters(model, "mine").values())
    assert count == 5 * 2 * model.config.layers * model.config.width


def test_what_cannot_be() -> None:
    for wrong in (
        {"tokens": 0},
        {"projection": True, "text_tokens": (1,)},
        {"projection_width": 4},
        {"projection": True, "projection_width": 0},
        {"text_tokens": (-1,)},
    ):
        with pytest.raises(ConfigError):
            PrefixConfig(**wrong)
    model = build("llama")
    with pytest.raises(ConfigError, match="ids of the vocabulary"):
        attach(model, "mine", PrefixConfig(tokens=2, text_tokens=(1, 23)))
    with pytest.raises(ConfigError, match="fills the model's context"):
        attach(build("gpt2"), "mine", PrefixConfig(tokens=12))
    for label in ("deepseek_v3", "lstm"):
        with pytest.raises(Unsupported, match=r"caches keys and values(.|\n)*use a soft prompt"):
            attach(build(label), "mine", PrefixConfig(tokens=2))
    with pytest.raises(Unsupported, match=r"longer than the model looks back(.|\n)*at most 3 positions"):
        attach(build("gemma2"), "mine", PrefixConfig(tokens=4))


def test_a_prompt_starts_from_the_base_alone() -> None:
    """What is active while it is attached has no part in it."""
    text, tokens = (7, 3, 9), texts()[:1, :6]
    words = build("llama")(torch.cat([torch.tensor([text]), tokens], dim=1)).hidden[:, 3:]
    for config in (
        PrefixConfig(tokens=3, text_tokens=text),
        SoftPromptConfig(tokens=3, start="text", text_tokens=text),
    ):
        model = build("llama")
        attach(model, "low", LoRAConfig(rank=2, targets=("embed_tokens", "q_proj", "v_proj")))
        with torch.no_grad():
            for parameter in adapter_parameters(model, "low").values():
                parameter += 0.3
        attach(model, "mine", config)
        hidden = model(tokens, state=begin(model, ["mine"], 6)).hidden
        torch.testing.assert_close(hidden, words, rtol=0, atol=1e-10)
