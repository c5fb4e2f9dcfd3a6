"""OLMo 2: norms behind the sub-blocks, and over all heads of queries and of keys."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "multi-query-tied": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "biases": {"attention_bias": True},
    "large-base": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
}

FAMILY = Family(
    name="olmo2", config="Olmo2Config", model="Olmo2ForCausalLM", cases=_CASES, shape=SHAPE | {"pad_token_id": None}
)
