"""Mistral, with a window shorter than the texts and without one."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "window": {"num_key_value_heads": 2, "sliding_window": 6},
    "window-two": {"num_key_value_heads": 2, "sliding_window": 2},
    "no-window": {"num_key_value_heads": 2, "sliding_window": None},
    "window-beyond-the-text": {"num_key_value_heads": 2, "sliding_window": 4096},
    "multi-query": {"num_key_value_heads": 1, "sliding_window": 5},
    "wide-head-tied": {"num_key_value_heads": 2, "head_dim": 20, "sliding_window": 8, "tie_word_embeddings": True},
    "large-base": {"num_key_value_heads": 4, "sliding_window": None, "rope_parameters": {"rope_theta": 1e6}},
}

FAMILY = Family(name="mistral", config="MistralConfig", model="MistralForCausalLM", cases=_CASES, shape=SHAPE)
