"""gpt-oss: sinks, windows, YaRN, experts with biases."""

from tests.parity.decoder_families.family import SHAPE, Family

_YARN = {
    "rope_type": "yarn",
    "rope_theta": 150000.0,
    "factor": 4.0,
    "beta_fast": 8.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 16,
}
_CASES = {
    "plain": {},
    "three-layers": {"num_hidden_layers": 3, "sliding_window": 5},
    "other-layers": {"layer_types": ["full_attention", "sliding_attention"], "num_key_value_heads": 1},
    "tight-gates": {"swiglu_alpha": 1.3, "swiglu_limit": 0.5},
    "without-biases": {"attention_bias": False, "num_key_value_heads": 4},
    "one-expert": {"num_experts_per_tok": 1},
    "tied": {"tie_word_embeddings": True},
}

FAMILY = Family(
    name="gpt_oss",
    config="GptOssConfig",
    model="GptOssForCausalLM",
    cases=_CASES,
    shape=SHAPE
    | {
        "num_key_value_heads": 2,
        "head_dim": 12,
        "num_local_experts": 6,
        "num_experts_per_tok": 2,
        "sliding_window": 8,
        "rope_parameters": _YARN,
    },
)
