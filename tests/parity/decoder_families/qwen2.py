"""Qwen2, with layers that have a window and without."""

from tests.parity.decoder_families.family import SHAPE, Family

_WINDOW = {"use_sliding_window": True, "sliding_window": 5, "num_hidden_layers": 3, "num_key_value_heads": 2}
_CASES = {
    "plain": {"num_key_value_heads": 4},
    "grouped-tied": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "window-not-used": {"num_key_value_heads": 1, "sliding_window": 5, "max_window_layers": 0},
    "upper-layers": _WINDOW | {"max_window_layers": 1},
    "all-layers": _WINDOW | {"max_window_layers": 0},
    "mixed-layers": _WINDOW | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "yarn": {
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    },
}

FAMILY = Family(name="qwen2", config="Qwen2Config", model="Qwen2ForCausalLM", cases=_CASES, shape=SHAPE)
