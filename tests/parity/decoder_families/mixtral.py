"""Mixtral: Mistral with sparse experts."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "window": {"num_key_value_heads": 1, "sliding_window": 5},
    "many-experts": {"num_local_experts": 11, "num_experts_per_tok": 3},
    "all-experts": {"num_experts_per_tok": 4},
    "tied": {"tie_word_embeddings": True, "head_dim": 20},
}

FAMILY = Family(
    name="mixtral",
    config="MixtralConfig",
    model="MixtralForCausalLM",
    cases=_CASES,
    shape=SHAPE | {"num_key_value_heads": 4, "num_local_experts": 4},
)
