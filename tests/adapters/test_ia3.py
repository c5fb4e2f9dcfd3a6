"""(IA)3 without named targets: on keys, values and inner activations, whatever they are called, or it says why not."""

import pytest
import torch
from torch import nn

from tests.contracts.tracers import TRACERS, Tracer
from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.attach import attach
from trivium.adapters.holder import holders
from trivium.adapters.ia3 import IA3Config, RescalingUpdate, with_targets
from trivium.errors import ConfigError
from trivium.nn.experts import GroupedLinear
from trivium.nn.product_keys import ProductKeyMemory


def updates(model: nn.Module) -> dict[str, list[RescalingUpdate]]:
    """By the number of their block and the part of it that they are in."""
    found: dict[str, list[RescalingUpdate]] = {}
    for path, holder in holders(model, "a"):
        assert isinstance(holder, AdaptedLinear)
        found[path] = [update for update in holder.updates_of("a") if isinstance(update, RescalingUpdate)]
    return found


ATTENDING = [t for t in TRACERS if t.attends and "recurrent" not in t.row.kind and t.row.kind != "classifier"]


@pytest.mark.parametrize("tracer", ATTENDING, ids=lambda t: t.label)
def test_every_family_with_attention(tracer: Tracer) -> None:
    """Every block has vectors for what it attends to, and for its inner activations unless experts or a memory do."""
    with torch.device("meta"):
        model = tracer.row.model_class()(tracer.config())
    blocks = [path for path, _ in model.named_modules() if path.count(".") == 1 and path.rpartition(".")[2].isdigit()]
    attach(model, "a", IA3Config())
    assert with_targets(model, IA3Config()).targets
    found = updates(model)
    for block in (path for path in blocks if "blocks" in path):
        inside = {path: own for path, own in found.items() if path.startswith(f"{block}.")}
        attention = [u for path, own in inside.items() if "attention" in path for u in own if not u.changes_inputs]
        assert attention, block
        experts = any(isinstance(m, GroupedLinear | ProductKeyMemory) for m in model.get_submodule(block).modules())
        assert experts or any(u.changes_inputs for own in inside.values() for u in own), block


@pytest.mark.parametrize("label", ["rnn", "lstm", "luong", "text_cnn"])
def test_without_keys_and_values_it_says_so(label: str) -> None:
    tracer = next(tracer for tracer in TRACERS if tracer.label == label)
    with pytest.raises(ConfigError, match="no layers that make them"):
        attach(tracer.build(), "a", IA3Config())


def test_which_layers_and_how() -> None:
    """Keys and values as the paper has them; a matrix that is published whole is scaled whole."""
    wanted = {
        "llama": (("k_proj", "v_proj", "down_proj"), ("down_proj",)),
        "gpt2": (("c_attn", "mlp.c_proj"), ("mlp.c_proj",)),
        "opt": (("k_proj", "v_proj", "fc2"), ("fc2",)),
        "bloom": (("query_key_value", "dense_4h_to_h"), ("dense_4h_to_h",)),
        "t5 1.1": (("k", "v", "wo"), ("wo",)),
        "mixtral": (("k_proj", "v_proj"), ()),
    }
    for label, (targets, feedforward) in wanted.items():
        model = next(tracer for tracer in TRACERS if tracer.label == label).build()
        assert with_targets(model, IA3Config()) == IA3Config(targets=targets, feedforward=feedforward), label
    named = IA3Config(targets=("q_proj",))
    assert with_targets(nn.Identity(), named) is named
    with pytest.raises(ConfigError, match="there are none"):
        IA3Config(feedforward=("down_proj",))
