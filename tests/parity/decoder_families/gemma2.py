"""Gemma 2; caps are small enough to matter, and windows shorter than the texts."""

from tests.parity.decoder_families.family import SHAPE, Family

_SHAPE = SHAPE | {
    "num_hidden_layers": 3,
    "head_dim": 16,
    "num_key_value_heads": 2,
    "pad_token_id": None,
    "sliding_window": 6,
    "query_pre_attn_scalar": 24,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}
_CASES = {
    "plain": {},
    "uncapped": {"attn_logit_softcapping": None, "final_logit_softcapping": None},
    "order": {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    "long-window": {"sliding_window": 64, "num_key_value_heads": 4},
    "untied-biases": {"tie_word_embeddings": False, "attention_bias": True},
}

FAMILY = Family(name="gemma2", config="Gemma2Config", model="Gemma2ForCausalLM", shape=_SHAPE, cases=_CASES)
