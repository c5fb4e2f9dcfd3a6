"""Bottlenecks in the seats of blocks, and adapters beside whole sub-layers."""

import json
import pathlib

import peft
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from trivium.adapters.attach import adapter_parameters, attach, merge, remove, unmerge
from trivium.adapters.bottleneck import Bottleneck, BottleneckConfig
from trivium.adapters.holder import base_modules, holders
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.routing import activate
from trivium.adapters.sites import sites
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.models.bart import Bart, BartConfig
from trivium.models.ernie3 import Ernie3, Ernie3Config
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.mixtral import Mixtral, MixtralConfig

D, V = 16, 29


def llama(**changes: int) -> Llama:
    torch.manual_seed(1)
    fields = {"width": D, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 24} | changes
    return Llama(LlamaConfig(vocabulary_size=V, **fields)).double().eval()


def randomise(model: nn.Module, name: str) -> None:
    with torch.no_grad():
        for parameter in adapter_parameters(model, name).values():
            parameter.normal_(std=0.3)


def tokens() -> Tensor:
    return torch.randint(V, (2, 6), generator=torch.Generator().manual_seed(2))


def by_hand(bottleneck: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(bottleneck, Bottleneck)
    inner = F.gelu(x @ bottleneck.down.T + bottleneck.down_bias)
    return inner @ bottleneck.up.T + bottleneck.up_bias


@pytest.mark.parametrize(
    ("config", "places"),
    [
        (
            BottleneckConfig(width=3),
            ["0.after_attention", "0.after_feedforward", "1.after_attention", "1.after_feedforward"],
        ),
        (BottleneckConfig(kind="pfeiffer", width=3), ["0.after_feedforward", "1.after_feedforward"]),
        (BottleneckConfig(width=3, layers=(1,)), ["1.after_attention", "1.after_feedforward"]),
        (ParallelAdapterConfig(width=3), ["0.feedforward", "1.feedforward"]),
        (ParallelAdapterConfig(width=3, beside="attention", layers=(0,)), ["0.attention"]),
    ],
)
def test_where_they_stand(config: BottleneckConfig | ParallelAdapterConfig, places: list[str]):
    """And how many numbers they train: 2 M D + D + M each (Houlsby et al. 2019, section 2.1)."""
    model = llama()
    attach(model, "mine", config)
    assert [path for path, _ in holders(model)] == [f"blocks.{place}" for place in places]
    trained = sum(parameter.numel() for parameter in adapter_parameters(model, "mine").values())
    assert trained == len(places) * (2 * 3 * D + D + 3)


def test_an_adapter_for_every_block_of_an_encoder_decoder():
    config = BartConfig(vocabulary_size=V, width=D, layers=2, decoder_layers=3, heads=2, inner_width=24)
    model = Bart(config)
    attach(model, "mine", BottleneckConfig(width=3))
    assert [path for path, _ in holders(model)][::2] == [f"blocks.{i}.after_attention" for i in range(5)]


def test_blocks_of_another_width():
    config = Ernie3Config(vocabulary_size=V, width=D, layers=2, heads=2, task_width=8, task_layers=1, task_heads=2)
    model = Ernie3(config)
    attach(model, "mine", ParallelAdapterConfig(width=4))
    assert [p.shape[0] for name, p in adapter_parameters(model, "mine").items() if name.endswith(".up")] == [D, D, 8]
    with pytest.raises(ConfigError, match=r"wider than the model(.|\n)*at most 8"):
        attach(model, "other", BottleneckConfig(width=9))


def test_what_a_seat_and_a_sublayer_give():
    model, x = llama(), torch.randn(2, 3, D, dtype=torch.float64)
    attach(model, "seat", BottleneckConfig(width=3))
    attach(model, "beside", ParallelAdapterConfig(width=3, activation="gelu", scale=2.5))
    attach(model, "learnt", ParallelAdapterConfig(width=3, activation="gelu", scale=2.5, learnt_scale=True))
    for name in ("seat", "beside", "learnt"):
        randomise(model, name)
    found = dict(holders(model))
    activate(model, "seat")
    seat = found["blocks.0.after_attention"]
    torch.testing.assert_close(seat(x), x + by_hand(seat.updates["seat"], x), rtol=0, atol=1e-12)
    layer, plain = found["blocks.1.feedforward"], base_modules(model)["blocks.1.feedforward"]
    for name, scale in (("beside", 2.5), ("learnt", layer.updates["learnt"].scale)):
        activate(model, name)
        expected = plain(x) + scale * by_hand(layer.updates[name].bottleneck, x)
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    assert any(name.endswith(".scale") for name in adapter_parameters(model, "learnt"))


def test_experts_route_as_before():
    """The adapter reads every token; the losses that keep experts busy are told of the same routing."""
    torch.manual_seed(1)
    sizes = {"width": D, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 12, "experts": 4}
    model = Mixtral(MixtralConfig(vocabulary_size=V, balance_weight=0.5, **sizes)).double().train()
    before = model(tokens())
    attach(model, "mine", ParallelAdapterConfig(width=3))
    after = model(tokens())
    assert after.auxiliary.keys() == before.auxiliary.keys() != set()
    for name, loss in before.auxiliary.items():
        assert torch.equal(after.auxiliary[name], loss)
    assert torch.equal(after.hidden, before.hidden)
    randomise(model, "mine")
    assert not torch.allclose(model(tokens()).hidden, before.hidden)


@pytest.mark.parametrize("order", [("lora", "beside"), ("beside", "lora")])
@pytest.mark.parametrize("removed", [("lora", "beside"), ("beside", "lora")])
def test_adapters_inside_a_sublayer_with_adapters(order: tuple[str, str], removed: tuple[str, str]):
    """A LoRA on matrices of a feed-forward layer finds them there, and either may go first."""
    configs = {
        "lora": LoRAConfig(rank=2, targets=("up_proj", "q_proj")),
        "beside": ParallelAdapterConfig(width=3),
    }
    model = llama()
    names, bare = list(model.state_dict()), model(tokens()).hidden
    alone = {}
    for name, config in configs.items():
        single = llama()
        torch.manual_seed(3)
        attach(single, name, config)
        randomise(single, name)
        alone[name] = single(tokens()).hidden
    for name in order:
        torch.manual_seed(3)
        attach(model, name, configs[name])
        randomise(model, name)
    assert [site.theirs for site in sites(model)] == [site.theirs for site in sites(llama())]
    for name in ("lora", "beside"):
        activate(model, name)
        assert torch.equal(model(tokens()).hidden, alone[name])
    activate(model, "lora")
    merge(model, "lora")
    torch.testing.assert_close(model(tokens()).hidden, alone["lora"], rtol=0, atol=1e-10)
    unmerge(model)
    remove(model, removed[0])
    activate(model, removed[1])
    assert torch.equal(model(tokens()).hidden, alone[removed[1]])
    remove(model, removed[1])
    assert torch.equal(model(tokens()).hidden, bare)
    assert [name for name in model.state_dict() if not name.startswith("adapters.")] == names


def test_two_kinds_in_one_place_are_refused_before_anything_is_placed():
    model = llama()
    attach(model, "first", ParallelAdapterConfig(width=3, beside="attention", layers=(1,)))
    with pytest.raises(Unsupported, match=r"two kinds of adapters(.|\n)*blocks\.1\.attention"):
        attach(model, "second", LlamaAdapterConfig(tokens=2))
    assert [path for path, _ in holders(model)] == ["blocks.1.attention"]


@pytest.mark.parametrize("layers", [(), (2,), (0, -1)])
def test_blocks_that_are_not_there(layers: tuple[int, ...]):
    for kind in (BottleneckConfig, ParallelAdapterConfig):
        with pytest.raises(ConfigError, match="some of 0 to 1"):
            attach(llama(), "mine", kind(width=3, layers=layers))


def test_settings_that_cannot_be():
    for wrong in (
        lambda: BottleneckConfig(width=0),
        lambda: ParallelAdapterConfig(width=0),
        lambda: ParallelAdapterConfig(scale=0.0),
        lambda: LlamaAdapterConfig(tokens=0),
        lambda: LlamaAdapterConfig(layers=0),
    ):
        with pytest.raises(ConfigError):
            wrong()


def test_the_folder_says_what_it_is(tmp_path: pathlib.Path):
    """PEFT names the kind that it does not know; here the shapes are checked, whatever else the model wears."""
    torch.manual_seed(1)
    model = GPT2(GPT2Config(vocabulary_size=V, width=D, layers=2, heads=2, context_tokens=32))
    attach(model, "other", ParallelAdapterConfig(width=2))
    attach(model, "mine", ParallelAdapterConfig(width=3, scale=2.0))
    attach(model, "seats", BottleneckConfig(kind="pfeiffer", width=3, layers=(1,)))
    for name in ("mine", "seats"):
        randomise(model, name)
        save_adapter(tmp_path / name, model, name)
    options = json.loads((tmp_path / "mine" / "adapter_config.json").read_text())
    assert options["peft_type"] == "TRIVIUM_PARALLEL_ADAPTER"
    assert (options["width"], options["scale"], options["beside"]) == (3, 2.0, "feedforward")
    fresh = GPT2(model.config)
    load_adapter(tmp_path / "seats", fresh, "seats")
    assert list(adapter_parameters(fresh, "seats")) == list(adapter_parameters(model, "seats"))
    config = transformers.GPT2Config(vocab_size=V, n_embd=D, n_layer=2, n_head=2, n_positions=32)
    with pytest.raises((KeyError, ValueError), match="TRIVIUM_BOTTLENECK"):
        peft.PeftModel.from_pretrained(transformers.GPT2LMHeadModel(config), str(tmp_path / "seats"))
    with pytest.raises(CheckpointError, match=r"does not fit(.|\n)*blocks\.1\.feedforward"):
        load_adapter(tmp_path / "mine", GPT2(GPT2Config(vocabulary_size=V, width=D, layers=1, heads=2)), "mine")
