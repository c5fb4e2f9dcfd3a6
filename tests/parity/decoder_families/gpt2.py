"""GPT-2."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": CONTEXT,
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    "bos_token_id": 1,
    "eos_token_id": None,
}
_CASES = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "by-layer": {"scale_attn_by_inverse_layer_idx": True},
    "unscaled": {"scale_attn_weights": False},
    "relu-narrow": {"activation_function": "relu", "n_inner": 40},
}

FAMILY = Family(name="gpt2", config="GPT2Config", model="GPT2LMHeadModel", shape=_SHAPE, cases=_CASES)
