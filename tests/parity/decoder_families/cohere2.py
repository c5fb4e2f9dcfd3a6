"""Command R7B: layers with a window and positions, and layers without either."""

from tests.parity.decoder_families.family import SHAPE, Family

_CASES = {
    "every-fourth": {"num_hidden_layers": 4},
    "every-second": {"num_hidden_layers": 4, "sliding_window_pattern": 2},
    "mixed-layers": {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    "windows-only": {"num_hidden_layers": 2},
    "multi-query-untied": {"num_key_value_heads": 1, "tie_word_embeddings": False, "sliding_window_pattern": 3},
    # Without positions a bias of the keys changes no probability: its gradient is rounding, so here all have them.
    "biases": {"attention_bias": True, "num_hidden_layers": 2, "logit_scale": 0.25},
}

FAMILY = Family(
    name="cohere2",
    config="Cohere2Config",
    model="Cohere2ForCausalLM",
    cases=_CASES,
    shape=SHAPE | {"pad_token_id": None, "num_hidden_layers": 3, "num_key_value_heads": 2, "sliding_window": 5},
)
