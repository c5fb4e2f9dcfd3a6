"""BLOOM."""

from tests.parity.decoder_families.family import VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_CASES = {
    "plain": {},
    "normed-residual": {"apply_residual_connection_post_layernorm": True},
    "six-heads": {"n_head": 6},
    "untied": {"tie_word_embeddings": False, "layer_norm_epsilon": 1e-3},
}

FAMILY = Family(name="bloom", config="BloomConfig", model="BloomForCausalLM", shape=_SHAPE, cases=_CASES)
