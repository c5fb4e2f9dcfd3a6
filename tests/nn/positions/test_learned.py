"""Learned positions: where they begin, and what lies beyond their table."""

import pytest
import torch

from trivium.errors import ConfigError
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.positions.sinusoidal import SinusoidalPositions


def test_they_begin_as_sinusoids_after_the_rows_of_no_position() -> None:
    torch.manual_seed(0)
    positions = LearnedPositions(7, 6, offset=2, sines=0.5)
    waves = SinusoidalPositions(6)(torch.arange(7)[None], torch.float32)
    torch.testing.assert_close(positions(torch.arange(7)[None]), 0.5 * waves)
    assert positions.weight.requires_grad
    assert 0 < positions.weight[:2].abs().max() < 0.2


def test_they_begin_by_chance() -> None:
    torch.manual_seed(0)
    assert LearnedPositions(500, 40).weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_a_place_beyond_the_table_is_told() -> None:
    with pytest.raises(ConfigError, match=r"longer than the model's learned positions[\s\S]*9 tokens"):
        LearnedPositions(8, 4)(torch.arange(9)[None])
