"""OPT."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "ffn_dim": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "dropout": 0.0,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_CASES = {
    "plain": {},
    "350m": {"do_layer_norm_before": False, "word_embed_proj_dim": 20},
    "post-norm": {"do_layer_norm_before": False},
    "projected": {"word_embed_proj_dim": 20},
    "projected-untied": {"word_embed_proj_dim": 20, "tie_word_embeddings": False},
    "no-bias": {"enable_bias": False},
    "plain-norms": {"layer_norm_elementwise_affine": False},
    "plain-post-norms": {"layer_norm_elementwise_affine": False, "do_layer_norm_before": False},
    "gelu": {"activation_function": "gelu"},
}

FAMILY = Family(
    name="opt",
    config="OPTConfig",
    model="OPTForCausalLM",
    shape=_SHAPE,
    cases=_CASES,
    unseen=(".k_proj.bias",),  # adds the same to all scores of a query
)
