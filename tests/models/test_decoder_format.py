"""Files of decoders: what is refused, what old ones mean, and that sizes survive being written."""

from typing import Any

import pytest

from trivium.errors import ConfigError, Unsupported
from trivium.models import architecture
from trivium.models.decoder_format import check_window, read_window_layers, write_layer_types

KIN = ("llama", "mistral", "qwen2", "qwen3", "phi3", "olmo2", "cohere", "cohere2")
SIZES = [(name, size) for name in KIN for size in architecture(name).sizes()]


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        *((name, {"hidden_act": "gelu"}) for name in KIN),
        *((name, {"partial_rotary_factor": 0.5}) for name in KIN if name != "phi3"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}}),
        ("llama", {"pretraining_tp": 2}),
        ("mistral", {"layer_types": ["sliding_attention"] * 32}),
        ("qwen2", {"layer_types": ["chunked_attention"] * 32}),
        ("qwen3", {"num_hidden_layers": 3, "layer_types": ["full_attention"]}),
        ("olmo2", {"clip_qkv": 8.0}),
        ("cohere2", {"sliding_window": None}),
        ("cohere2", {"use_qk_norm": True}),
        ("cohere2", {"order_of_interleaved_layers": "global_attn_first"}),
        ("cohere2", {"layer_types": ["linear_attention"] * 40}),
    ],
)
def test_what_is_not_computed_is_refused(name: str, stated: dict[str, Any]) -> None:
    named = next(reversed(stated))
    with pytest.raises(Unsupported, match="partial_rotary_factor" if named == "rope_parameters" else named):
        architecture(name).config_class().from_hf(stated)


@pytest.mark.parametrize(("name", "size"), SIZES, ids=lambda value: value)
def test_sizes_survive_being_written(name: str, size: str) -> None:
    config = architecture(name).sizes()[size]
    again = type(config).from_hf(config.to_hf())
    assert again.to_hf() == config.to_hf()
    assert (again.rope, again.groups, again.norm_epsilon) == (config.rope, config.groups, config.norm_epsilon)


def read(name: str, **stated: Any) -> Any:
    return architecture(name).config_class().from_hf(stated)


def test_windows_of_files_without_layer_types() -> None:
    assert read("mistral", num_hidden_layers=2).windows == (4096, 4096)
    assert read("mistral", num_hidden_layers=2, sliding_window=None).windows == (None, None)
    upper = {"num_hidden_layers": 3, "sliding_window": 9, "max_window_layers": 1}
    for name in ("qwen2", "qwen3"):
        assert read(name, **upper, use_sliding_window=True).windows == (None, 9, 9)
        assert read(name, **upper).windows == (None, None, None)
    assert read("cohere2", num_hidden_layers=5).windows == (4096, 4096, 4096, None, 4096)
    assert read("cohere2", num_hidden_layers=3, sliding_window_pattern=2).windows == (4096, None, 4096)


def test_layer_types_speak_louder_than_a_pattern() -> None:
    types = ["full_attention", "sliding_attention"]
    assert read("cohere2", num_hidden_layers=2, sliding_window_pattern=2, layer_types=types).windows == (None, 4096)
    assert read_window_layers({"layer_types": types}, 2, lambda _: True) == (1,)
    assert write_layer_types((1,), 2) == types


def test_a_window_that_cannot_be() -> None:
    for window, layers in ((None, (0,)), (0, ()), (4, (2,)), (4, (-1,))):
        with pytest.raises(ConfigError, match="window"):
            check_window(window, layers, 2)


def test_what_phi3_files_say_of_positions() -> None:
    factors = {"short_factor": [1.0] * 36, "long_factor": [2.0] * 36}
    old = {
        "num_attention_heads": 32,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 8192,
        "partial_rotary_factor": 0.75,
        "rope_theta": 1e4,
    }
    ropes = [read("phi3", **old, rope_scaling={"type": kind} | factors).rope for kind in ("su", "yarn", "longrope")]
    assert ropes[0] == ropes[1] == ropes[2]
    assert (ropes[0].kind, ropes[0].original_context_tokens, ropes[0].turning_share) == ("longrope", 8192, 0.75)
    with pytest.raises(ConfigError, match="one factor for each pair"):
        read("phi3", **old | {"partial_rotary_factor": 1.0}, rope_scaling={"type": "longrope"} | factors)
    with pytest.raises(ConfigError, match="RoPE of Phi-3"):
        read("phi3", rope_scaling={"type": "linear", "factor": 2.0})


def test_cohere_turns_slower_where_its_file_says_nothing() -> None:
    assert read("cohere").rope.base == 500_000.0
    assert read("cohere", rope_theta=8e6).rope.base == 8e6
    assert read("cohere", rope_parameters={"rope_type": "default"}).rope.base == 500_000.0
