"""Mixtures of experts: what is refused, what their published configurations say, and how their experts are seen."""

from typing import Any

import pytest
import torch

from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.models.mixtral import Mixtral, MixtralConfig
from trivium.nn.routing import within_capacity

NAMES = ("mixtral", "qwen3_moe", "gpt_oss")
TINY = {"vocabulary_size": 11, "width": 8, "layers": 2, "heads": 2, "inner_width": 6, "experts": 4}


@pytest.mark.parametrize(
    ("name", "stated", "message"),
    [
        ("mixtral", {"hidden_act": "gelu"}, "hidden_act"),
        ("mixtral", {"router_jitter_noise": 0.1}, "router_jitter_noise"),
        ("qwen3_moe", {"hidden_act": "gelu"}, "hidden_act"),
        ("gpt_oss", {"hidden_act": "gelu"}, "hidden_act"),
        ("gpt_oss", {"layer_types": ["linear_attention"] * 36}, "layer_types"),
    ],
)
def test_what_is_not_computed_is_refused(name: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        architecture(name).config_class().from_hf(stated)


@pytest.mark.parametrize("name", NAMES)
def test_more_experts_chosen_than_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot go to so many experts"):
        architecture(name).config_class()(experts=2, chosen_experts=3)


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_round_trip(name: str) -> None:
    row = architecture(name)
    for config in row.sizes().values():
        assert row.config_class().from_hf(config.to_hf()) == config


def test_files_of_transformers_4_and_5_name_the_number_of_experts_differently() -> None:
    from_hf = architecture("qwen3_moe").config_class().from_hf
    assert from_hf({"num_experts": 6, "num_experts_per_tok": 2}) == from_hf(
        {"num_local_experts": 6, "num_experts_per_tok": 2, "mlp_only_layers": None}
    )


def test_a_window_that_is_not_used() -> None:
    from_hf = architecture("qwen3_moe").config_class().from_hf
    assert from_hf({"sliding_window": 4096, "use_sliding_window": False}).window_tokens is None
    assert from_hf({"sliding_window": 4096, "use_sliding_window": True}).window_tokens == 4096


def test_shares_of_the_experts_can_be_seen() -> None:
    """Of real tokens, layer by layer, with and without training."""
    model = Mixtral(MixtralConfig(**TINY))
    tokens = torch.randint(11, (2, 5))
    for mode in (True, False):
        output = model.train(mode)(tokens, lengths=torch.tensor([5, 1]), collect=("routing", "hidden"))
        assert len(output.collected["routing"]) == 2
        for share in output.collected["routing"]:
            assert (share * 12).round().tolist() == pytest.approx((share * 12).tolist())
            assert share.sum().item() == pytest.approx(1.0)
        assert set(output.auxiliary) == ({"load_balance"} if mode else set())


def test_capacity_and_z_loss_are_options() -> None:
    torch.manual_seed(0)
    model = Mixtral(MixtralConfig(**TINY, z_weight=0.001, capacity_factor=0.5, balance_weight=0.0))
    tokens = torch.randint(11, (3, 6))
    limited, whole = model.train()(tokens), model.eval()(tokens)
    assert limited.auxiliary.keys() == {"router_z"}
    assert not torch.allclose(limited.hidden, whole.hidden)
    routing = model.blocks[0].feedforward.router(torch.randn(18, 8))
    assert 0 < within_capacity(routing.chosen, 4, 0.5).sum() <= 20
