"""GPT, the first."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": CONTEXT,
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
}
_CASES = {
    "plain": {},
    "untied": {"tie_word_embeddings": False},
    "relu": {"afn": "relu"},
    "silu": {"afn": "swish", "layer_norm_epsilon": 1e-3},
}

FAMILY = Family(name="gpt", config="OpenAIGPTConfig", model="OpenAIGPTLMHeadModel", shape=_SHAPE, cases=_CASES)
