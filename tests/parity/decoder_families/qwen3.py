"""Qwen3: normed queries and keys, with and without biases and windows."""

from tests.parity.decoder_families.family import SHAPE, Family

_WINDOW = {"use_sliding_window": True, "sliding_window": 6, "num_hidden_layers": 3}
_CASES = {
    "plain": {},
    "whole-heads": {"num_key_value_heads": 4},
    "multi-query-tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "biases": {"attention_bias": True},
    "upper-layers": _WINDOW | {"max_window_layers": 2},
    "mixed-layers": _WINDOW | {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
}

FAMILY = Family(
    name="qwen3",
    config="Qwen3Config",
    model="Qwen3ForCausalLM",
    cases=_CASES,
    shape=SHAPE | {"head_dim": 16, "num_key_value_heads": 2},
)
