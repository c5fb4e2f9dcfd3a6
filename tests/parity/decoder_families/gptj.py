"""GPT-J."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": CONTEXT,
    "rotary_dim": 4,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_CASES = {
    "plain": {},
    "all-turns": {"rotary_dim": 12},
    "tied": {"tie_word_embeddings": True},
    "relu-narrow": {"activation_function": "relu", "n_inner": 40},
}

FAMILY = Family(name="gptj", config="GPTJConfig", model="GPTJForCausalLM", shape=_SHAPE, cases=_CASES)
