"""What the Gemmas refuse, the sizes of the paper, and both spellings of Gemma 3's rotary positions."""

from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.models.parameter_counts import PARAMETERS


@pytest.mark.parametrize(
    ("name", "config", "what"),
    [
        ("gemma", {"hidden_act": "silu"}, "hidden_activation"),
        ("gemma", {"use_bidirectional_attention": True}, "both directions"),
        ("gemma2", {"hidden_activation": "relu"}, "hidden_activation"),
        ("gemma2", {"num_hidden_layers": 2, "layer_types": ["full_attention", "chunked_attention"]}, "layer_types"),
        ("gemma3", {"model_type": "gemma3", "text_config": {}}, "images"),
        ("gemma3", {"use_bidirectional_attention": True}, "both directions"),
        ("gemma3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("gemma3", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "rope_parameters"),
    ],
)
def test_what_is_not_computed_is_refused(name: str, config: dict[str, Any], what: str) -> None:
    row = architecture(name)
    with pytest.raises(Unsupported, match=what):
        row.config_class().from_hf({"model_type": row.model_types[0]} | config)


@pytest.mark.parametrize("name", ["gemma2", "gemma3"])
def test_a_window_of_no_width_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="window"):
        architecture(name).config_class()(window_tokens=0)


@pytest.mark.parametrize("name", ["gemma", "gemma2", "gemma3"])
def test_sizes_are_written_and_read_back(name: str) -> None:
    row = architecture(name)
    for size in row.sizes().values():
        written = size.to_hf()
        assert row.config_class().from_hf(written).to_hf() == written
        assert written["head_dim"] == size.head_width and written["num_key_value_heads"] == size.groups


@pytest.mark.parametrize(
    ("name", "size", "published"),
    [
        ("gemma", "gemma-2b", 524_550_144 + 1_981_884_416),
        ("gemma", "gemma-7b", 786_825_216 + 7_751_248_896),
        ("gemma2", "gemma-2-2b", 590_118_912 + 2_024_517_888),
        ("gemma2", "gemma-2-9b", 917_962_752 + 8_324_201_984),
        ("gemma2", "gemma-2-27b", 1_180_237_824 + 26_047_480_320),
        ("gemma3", "gemma-3-270m", 270e6),
        ("gemma3", "gemma-3-1b", 302e6 + 698e6),
        ("gemma3", "gemma-3-4b", 675e6 + 3_209e6),
        ("gemma3", "gemma-3-12b", 1_012e6 + 10_759e6),
        ("gemma3", "gemma-3-27b", 1_416e6 + 25_600e6),
    ],
)
def test_sizes_are_the_published_ones(name: str, size: str, published: float) -> None:
    """Embedding and other parameters, table 2 of the first two papers and table 1 of the third."""
    assert PARAMETERS[name][size] == pytest.approx(published, rel=0.01)


def test_both_spellings_of_the_ropes_of_gemma3_are_read() -> None:
    row = architecture("gemma3")
    base = {"model_type": "gemma3_text", "num_hidden_layers": 7}
    old = base | {
        "rope_theta": 5e5,
        "rope_local_base_freq": 3e3,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window_pattern": 3,
    }
    full, local = "full_attention", "sliding_attention"
    new = base | {
        "rope_parameters": {
            full: {"rope_type": "linear", "rope_theta": 5e5, "factor": 8.0},
            local: {"rope_type": "default", "rope_theta": 3e3},
        },
        "layer_types": [local, local, full, local, local, full, local],
    }
    config = row.config_class().from_hf(old)
    assert config == row.config_class().from_hf(new)
    assert (config.rope.factor, config.local_rope.factor) == (8.0, None)
    assert config.windows == [4096, 4096, None, 4096, 4096, None, 4096]
