"""Gemma; its heads are wider than the width divided by their number."""

from tests.parity.decoder_families.family import SHAPE, Family

_SHAPE = SHAPE | {"head_dim": 16, "num_key_value_heads": 4, "pad_token_id": None}
_CASES = {
    "plain": {},
    "multi-query": {"num_key_value_heads": 1},
    "untied": {"tie_word_embeddings": False},
    "biases": {"attention_bias": True, "num_key_value_heads": 2},
    "first-files": {"hidden_act": "gelu", "rms_norm_eps": 1e-3},
    "rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.0}},
}

FAMILY = Family(name="gemma", config="GemmaConfig", model="GemmaForCausalLM", shape=_SHAPE, cases=_CASES)
