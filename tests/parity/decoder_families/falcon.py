"""Falcon: multi-query and grouped, one norm or two, parallel and sequential, with RoPE and with ALiBi."""

from tests.parity.decoder_families.family import CONTEXT, VOCABULARY, Family

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": None,
}
_NEW = {"new_decoder_architecture": True, "num_kv_heads": 2}
# The eager attention of transformers adds ALiBi twice: to the scores, and to the mask, which has it for the kernel.
_ALIBI = {"alibi": True, "attn_implementation": "sdpa"}
_SEQUENTIAL = {"parallel_attn": False, "multi_query": False}
_CASES = {
    "7b": {},
    "40b": _NEW,
    "one-norm": _NEW | {"num_ln_in_parallel_attn": 1},
    "new-all-heads": {"new_decoder_architecture": True},
    "new-multi-query": {"new_decoder_architecture": True, "num_kv_heads": 1},
    "multi-head": {"multi_query": False},
    "sequential": {"parallel_attn": False},
    "rw": _SEQUENTIAL | _ALIBI | {"bias": True},
    "alibi": _ALIBI,
    "alibi-new": _NEW | _ALIBI,
    "alibi-six-heads": _ALIBI | {"num_attention_heads": 6},
    "bias": {"bias": True},
    "untied-narrow": {"tie_word_embeddings": False, "ffn_hidden_size": 40, "activation": "relu"},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}},
}

FAMILY = Family(name="falcon", config="FalconConfig", model="FalconForCausalLM", shape=_SHAPE, cases=_CASES)
