"""Command R: with and without norms on queries and keys."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "qk-norm": {"use_qk_norm": True},
    "qk-norm-grouped": {"use_qk_norm": True, "num_key_value_heads": 2, "logit_scale": 0.8333333333333334},
    "multi-query-untied": {"num_key_value_heads": 1, "tie_word_embeddings": False},
    "biases": {"attention_bias": True},
    "large-base": {"rope_parameters": {"rope_type": "default", "rope_theta": 8e6}},
}

FAMILY = Family(
    name="cohere", config="CohereConfig", model="CohereForCausalLM", cases=_CASES, shape=SHAPE | {"pad_token_id": None}
)
