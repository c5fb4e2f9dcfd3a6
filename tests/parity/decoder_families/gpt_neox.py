"""GPT-NeoX and Pythia."""

from tests.parity.decoder_families.family import SHAPE, Family


def _rope(**changes: object) -> dict[str, object]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, **changes}}


_SHAPE = SHAPE | _rope(partial_rotary_factor=0.5)
_CASES = {
    "parallel": {},
    "sequential": {"use_parallel_residual": False},
    "quarter-turns": {"num_attention_heads": 3, "rope_parameters": None},
    "all-turns": _rope(partial_rotary_factor=1.0),
    "linear": _rope(rope_type="linear", factor=2.5, partial_rotary_factor=0.5),
    "dynamic": _rope(rope_type="dynamic", factor=3.0, partial_rotary_factor=1.0),
    "no-bias": {"attention_bias": False},
    "tied": {"tie_word_embeddings": True},
    "gelu-tanh": {"hidden_act": "gelu_new"},
}

FAMILY = Family(name="gpt_neox", config="GPTNeoXConfig", model="GPTNeoXForCausalLM", shape=_SHAPE, cases=_CASES)
