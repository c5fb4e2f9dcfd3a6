"""Configurations of the decoders before LLaMA: what the released files say, and what is refused."""

from typing import Any

import pytest
import torch

from trivium.adapters.sites import sites
from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.models.falcon import FalconConfig, rounded_alibi
from trivium.models.gpt_neo import GPTNeoConfig
from trivium.models.gptj import GPTJConfig
from trivium.nn.positions.rope import Rope

OLDER = ("gpt", "gpt_neo", "gptj", "gpt_neox", "opt", "bloom", "falcon")


@pytest.mark.parametrize("name", OLDER)
def test_named_sizes_come_back_from_their_config_json(name: str) -> None:
    row = architecture(name)
    for size, config in row.sizes().items():
        written = config.to_hf()
        assert row.config_class().from_hf(written).to_hf() == written, size


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("gpt", {"afn": "tanh"}),
        ("gpt", {"embd_pdrop": 0.0, "resid_pdrop": 0.1}),
        ("gpt_neo", {"num_layers": 2, "attention_types": [[["global", "sparse"], 1]]}),
        ("gpt_neo", {"num_layers": 3, "attention_types": [[["global", "local"], 1]]}),
        ("gptj", {"rotary_dim": None}),
        ("gpt_neox", {"hidden_act": "quick_gelu"}),
        ("opt", {"_remove_final_layer_norm": True}),
        ("opt", {"layerdrop": 0.1}),
        ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}),
        ("falcon", {"num_ln_in_parallel_attn": 2}),
    ],
)
def test_what_is_not_computed_is_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        architecture(name).config_class().from_hf(config)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (FalconConfig, {"parallel_norms": 3}),
        (FalconConfig, {"parallel": False, "parallel_norms": 2}),
        (FalconConfig, {"width": 64, "heads": 4, "key_value_heads": 2, "parallel": False}),
        (GPTJConfig, {"rotary_width": 3}),
        (GPTJConfig, {"width": 64, "heads": 4, "rotary_width": 18}),
        (GPTNeoConfig, {"reaches": ()}),
        (GPTNeoConfig, {"window_tokens": 0}),
    ],
)
def test_shapes_that_cannot_be(kind: type, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        kind(**fields)


def test_bloom_under_the_names_of_its_released_files() -> None:
    released = {"n_embed": 1024, "n_layer": 24, "num_attention_heads": 16, "seq_length": 2048, "n_inner": None}
    row = architecture("bloom")
    assert row.config_class().from_hf(released) == row.sizes()["bloom-560m"]


def test_gpt_neox_under_the_names_of_its_released_files() -> None:
    """As transformers 4 wrote them; "gelu_fast" is the tanh approximation too."""
    released = {
        "hidden_act": "gelu_fast",
        "hidden_size": 6144,
        "num_attention_heads": 64,
        "num_hidden_layers": 44,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "vocab_size": 50432,
    }
    row = architecture("gpt_neox")
    assert row.config_class().from_hf(released) == row.sizes()["gpt-neox-20b"]
    assert row.config_class().from_hf(released | {"rotary_pct": 0.5}).rope == Rope(turning_share=0.5)


def test_falcon_under_the_names_of_its_released_files() -> None:
    """Of the 40B model: what is said of the old architecture there does not count."""
    released = {
        "hidden_size": 8192,
        "num_hidden_layers": 60,
        "num_attention_heads": 128,
        "num_kv_heads": 8,
        "new_decoder_architecture": True,
        "multi_query": True,
        "parallel_attn": True,
    }
    config = FalconConfig.from_hf(released)
    assert (config.key_value_heads, config.parallel_norms) == (8, 2)
    assert FalconConfig.from_hf(released | {"num_ln_in_parallel_attn": 1}).parallel_norms == 1


def test_gpt_neo_says_its_pattern_once() -> None:
    listed = {"num_layers": 6, "attention_types": [[["global", "local"], 3]]}
    assert GPTNeoConfig.from_hf(listed).reaches == ("global", "local")
    uneven = GPTNeoConfig.from_hf({"num_layers": 3, "attention_types": [[["global"], 1], [["local"], 2]]})
    assert uneven.windows == [None, 256, 256]


def test_falcon_rounds_alibi_to_bf16() -> None:
    """As it was trained: from position 256 on two keys share a bias, and it is divided by sqrt(K) as scores are."""
    bias = rounded_alibi(8, 32, like=torch.zeros(1, dtype=torch.float64))
    scores = bias(torch.tensor([[300]]), torch.tensor([100, 256, 257]))
    assert scores.shape == (1, 8, 1, 3) and scores.dtype == torch.float64
    assert scores[0, 0, 0].tolist() == [0.5 * 100 / 2, 0.5 * 256 / 2, 0.5 * 256 / 2]


@pytest.mark.parametrize("name", ["gpt_neox", "bloom", "falcon"])
def test_an_adapter_finds_the_fused_projection(name: str) -> None:
    """Its rows stand in the published order, so that an update of ``query_key_value`` is one of ours."""
    row = architecture(name)
    model = row.model_class()(row.config_class()(vocabulary_size=7, width=16, layers=1, heads=2))
    found = {site.theirs.rpartition(".")[2]: site for site in sites(model)}
    assert found["query_key_value"].ours == "blocks.0.attention.qkv"
    assert found["query_key_value"].rows == model.blocks[0].attention.qkv.out_features
