"""Qwen3-MoE: narrow experts, dense layers between."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "plain": {},
    "renormalised": {"norm_topk_prob": True, "num_key_value_heads": 1},
    "every-other": {"num_hidden_layers": 3, "decoder_sparse_step": 2},
    "dense-layers": {"num_hidden_layers": 3, "mlp_only_layers": [0, 2]},
    "window": {"use_sliding_window": True, "sliding_window": 5},
    "biases": {"attention_bias": True},
    "tied": {"tie_word_embeddings": True, "head_dim": 20},
}

FAMILY = Family(
    name="qwen3_moe",
    config="Qwen3MoeConfig",
    model="Qwen3MoeForCausalLM",
    cases=_CASES,
    shape=SHAPE
    | {
        "num_key_value_heads": 2,
        "head_dim": 12,
        "moe_intermediate_size": 24,
        "num_experts": 8,
        "num_experts_per_tok": 3,
    },
)
