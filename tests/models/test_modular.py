"""The modular decoder: what cannot go together is refused, and long texts are the same by every path."""

import re
from typing import Any, get_args

import pytest
import torch

from trivium.config import from_dict
from trivium.errors import ConfigError
from trivium.models.modular import FEEDFORWARDS, MIXINGS, RELATIONS, Modular
from trivium.models.modular_config import Attention, ModularConfig, PatternConfig, Positions
from trivium.models.modular_places import PLACES
from trivium.nn.attention.layout import plain_layout
from trivium.nn.positions.rope import Rope

SMALL = {"vocabulary_size": 11, "width": 8, "layers": 2, "heads": 2, "context_tokens": 64}
PATTERN = PatternConfig(window_tokens=5, block_tokens=4, summary_tokens=1, span_tokens=8, ramp_tokens=2)


def test_every_choice_has_a_builder() -> None:
    assert set(PLACES) == set(get_args(Positions))
    assert set(MIXINGS) == set(get_args(Attention))
    assert set(RELATIONS) <= set(PLACES)
    assert set(FEEDFORWARDS) == {"plain", "gated", "experts", "memory"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"positions": "shaw", "attention": "strided"}, "score every key in reach"),
        ({"positions": "transformer_xl", "attention": "adaptive_span"}, "score every key in reach"),
        ({"positions": "alibi", "rope": {"base": 500000.0}}, "no rope"),
        ({"positions": "rope", "heads": 1, "head_width": 5}, "pairs of features"),
        ({"positions": "sinusoidal", "width": 9, "heads": 3}, "pairs of features"),
        ({"positions": "t5", "buckets": 32, "furthest_tokens": 16}, "buckets"),
        ({"attention": "fixed", "pattern": {"block_tokens": 4, "summary_tokens": 5}}, "sum it up"),
        ({"pattern": {"span_tokens": 4, "first_span_tokens": 5.0}}, "longer than the longest"),
        ({"pattern": {"window_tokens": 0}}, "window_tokens is too small"),
        ({"mixture": {"experts": 2, "chosen": 3}}, "so many experts"),
        ({"memory": {"layers": [2]}}, "counted from 0"),
        ({"memory": {"layers": [1], "half_keys": 4, "chosen": 5}}, "so many slots"),
        ({"memory": {"key_width": 7}}, "two halves"),
        ({"heads": 3}, "do not divide"),
        ({"positions": "absolute"}, "positions"),
    ],
)
def test_what_cannot_go_together(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        from_dict(ModularConfig, {**SMALL, **fields})


def test_a_share_of_the_features_may_turn() -> None:
    model = Modular(ModularConfig(**SMALL, rope=Rope(turning_share=0.5)))
    x = model.embed(torch.arange(3)[None])
    assert model.places(plain_layout(x, causal=True), x).rotation.shape == (2, 1, 3, 1, 1)


@pytest.mark.parametrize("attention", get_args(Attention))
@pytest.mark.parametrize("positions", ["rope", "t5", "alibi"])
def test_a_long_text_in_pieces(attention: str, positions: str) -> None:
    """Long enough that queries are put in groups; read again through a cache it is the same to 1e-10."""
    torch.manual_seed(0)
    config = ModularConfig(**SMALL, attention=attention, positions=positions, pattern=PATTERN)  # type: ignore[arg-type]
    model = Modular(config).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    tokens = torch.randint(11, (2, 45))
    with torch.no_grad():
        whole, state, pieces = model(tokens).hidden, model.new_state(2, 45), []
        for piece in tokens.split([30, 1, 9, 5], dim=1):
            output = model(piece, state=state)
            pieces.append(output.hidden)
            state = output.state
        shown = model(tokens, collect=("attention",)).collected["attention"]
    assert torch.allclose(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-10)
    assert all(torch.allclose(weights.sum(-1), torch.ones(2, 2, 45, dtype=torch.float64)) for weights in shown)


def test_one_table_of_parameters_with_everything_else_equal() -> None:
    """Parts without parameters leave a model's weights as they are drawn."""
    drawn = {}
    for positions in ("rope", "alibi", "sinusoidal", "none"):
        torch.manual_seed(0)
        drawn[positions] = Modular(ModularConfig(**SMALL, positions=positions)).state_dict()  # type: ignore[arg-type]
    for other in ("alibi", "sinusoidal", "none"):
        assert drawn["rope"].keys() == drawn[other].keys()
        assert all(torch.equal(drawn["rope"][name], drawn[other][name]) for name in drawn["rope"])


def test_penalties_count_tokens_and_no_padding() -> None:
    config = ModularConfig(
        **SMALL,  # type: ignore[arg-type]
        attention="adaptive_span",
        pattern=PatternConfig(span_tokens=8, first_span_tokens=4.0, span_penalty=0.5),
    )
    model = Modular(config).train()
    output = model(torch.zeros(2, 6, dtype=torch.long), lengths=torch.tensor([6, 3]))
    assert output.auxiliary["span"].item() == pytest.approx(0.5 * 9 * (4.0 + 4.0))  # two layers
    assert model.eval()(torch.zeros(1, 6, dtype=torch.long)).auxiliary == {}


def test_a_stretched_rope_is_kept_in_config_json() -> None:
    config = ModularConfig(**SMALL, rope=Rope(kind="linear", factor=2.0))  # type: ignore[arg-type]
    assert ModularConfig.from_hf(config.to_hf()) == config
