"""GPT-Neo, with windows that are shorter than the texts."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_layers": 4,
    "num_heads": 4,
    "max_position_embeddings": CONTEXT,
    "attention_types": [[["global", "local"], 2]],
    "window_size": 6,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_CASES = {
    "alternating": {},
    "global": {"attention_types": [[["global"], 4]]},
    "others": {"attention_types": [[["local", "local", "global", "local"], 1]], "window_size": 8},
    "untied": {"tie_word_embeddings": False},
    "narrow": {"intermediate_size": 40, "activation_function": "gelu"},
}

FAMILY = Family(name="gpt_neo", config="GPTNeoConfig", model="GPTNeoForCausalLM", shape=_SHAPE, cases=_CASES)
