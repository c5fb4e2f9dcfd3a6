"""DeepSeek-V3, with groups that matter for the choice, and dense layers before those with experts."""

from tests.parity.decoder_families.family import SHAPE, Family

_SHAPE = SHAPE | {
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "kv_lora_rank": 32,
    "q_lora_rank": 24,
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_shared_experts": 1,
    "n_group": 4,
    "topk_group": 2,
    "moe_intermediate_size": 16,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
_CASES = {
    "plain": {},
    "full-queries": {"q_lora_rank": None},
    "halves": {"rope_interleave": False},
    "biases": {"attention_bias": True, "tie_word_embeddings": True},
    "one-group": {"n_group": 1, "topk_group": 1, "n_shared_experts": 2},
    "unnormalised": {"norm_topk_prob": False, "routed_scaling_factor": 1.0, "first_k_dense_replace": 0},
    "yarn": {"rope_parameters": _YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}},
    "yarn-unequal": {"rope_parameters": _YARN | {"mscale": 0.7, "mscale_all_dim": 0.9}},
    "yarn-plain": {"rope_parameters": _YARN},
}

FAMILY = Family(
    name="deepseek_v3", config="DeepseekV3Config", model="DeepseekV3ForCausalLM", shape=_SHAPE, cases=_CASES
)
