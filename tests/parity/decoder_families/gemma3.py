"""The text model of Gemma 3; its two kinds of layer turn by angles of their own."""

from tests.parity.decoder_families.family import SHAPE, Family

_SHAPE = SHAPE | {
    "num_hidden_layers": 3,
    "head_dim": 16,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "sliding_window": 5,
    "query_pre_attn_scalar": 24,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
}
_ROPES = {
    "full_attention": {"rope_type": "linear", "rope_theta": 40000.0, "factor": 8.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 3000.0},
}
_CASES = {
    "plain": {},
    "five-to-one": {"layer_types": None, "num_hidden_layers": 7},
    "ropes": {"rope_parameters": _ROPES},
    "transformers-4": {
        "layer_types": None,
        "sliding_window_pattern": 2,
        "rope_theta": 40000.0,
        "rope_local_base_freq": 3000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "multi-query": {"num_key_value_heads": 1},
    "untied-biases": {"tie_word_embeddings": False, "attention_bias": True},
}

FAMILY = Family(name="gemma3", config="Gemma3TextConfig", model="Gemma3ForCausalLM", shape=_SHAPE, cases=_CASES)
