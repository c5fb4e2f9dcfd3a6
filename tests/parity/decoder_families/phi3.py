"""Phi-3: windows, LongRoPE on either side of the original context, features that do not turn."""

from tests.parity.decoder_families.family import CONTEXT, SHAPE, Family


def _longrope(original: int, pairs: int, **more: float) -> dict[str, object]:
    """Stretched from ``original`` tokens."""
    factors = {
        "short_factor": [1.0 + 0.1 * pair for pair in range(pairs)],
        "long_factor": [1.0 + 0.5 * pair for pair in range(pairs)],
    }
    return {
        "original_max_position_embeddings": original,
        "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, **factors, **more},
    }


_CASES = {
    "plain": {},
    "grouped-tied": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "window": {"num_key_value_heads": 1, "sliding_window": 7},
    "partial": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "longrope-short": _longrope(CONTEXT - 4, 6),
    "longrope-long": _longrope(16, 6),
    "longrope-crossed": _longrope(30, 6),  # while the answer is written
    "longrope-crossed-window": {**_longrope(33, 6), "num_key_value_heads": 2, "sliding_window": 7},
    "longrope-partial": _longrope(16, 3, partial_rotary_factor=0.5),
}

FAMILY = Family(
    name="phi3",
    config="Phi3Config",
    model="Phi3ForCausalLM",
    cases=_CASES,
    shape=SHAPE | {"pad_token_id": None, "original_max_position_embeddings": CONTEXT},
)
