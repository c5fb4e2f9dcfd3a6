"""Sinusoids against the paper's equation, by hand."""

import math

import pytest
import torch

from trivium.errors import ConfigError
from trivium.nn.positions.sinusoidal import SinusoidalPositions


def test_the_equation_and_both_layouts() -> None:
    places = torch.tensor([[0, 1, 7, 5000]])
    interleaved = SinusoidalPositions(6, "interleaved")(places, torch.float64)[0]
    halves = SinusoidalPositions(6)(places, torch.float64)[0]
    for row, m in enumerate(places[0].tolist()):
        for i in range(3):
            angle = m / 10000 ** (2 * i / 6)
            for found in (interleaved[row, 2 * i : 2 * i + 2].tolist(), halves[row, [i, 3 + i]].tolist()):
                assert found == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-12)


def test_far_out_only_the_result_is_rounded() -> None:
    places = torch.tensor([[131071]])
    positions = SinusoidalPositions(64)
    exact = positions(places, torch.float64)
    assert torch.equal(positions(places, torch.float32), exact.float())
    assert torch.equal(positions(places, torch.bfloat16), exact.bfloat16())


def test_a_shift_is_a_linear_map() -> None:
    """Section 3.5: PE(m + k) is a linear function of PE(m), the same for every m."""
    at = SinusoidalPositions(8)(torch.arange(40)[None], torch.float64)[0]
    shift = torch.linalg.lstsq(at[:20], at[5:25]).solution
    torch.testing.assert_close(at[10:35] @ shift, at[15:40], rtol=0, atol=1e-8)


def test_pairs_need_an_even_width() -> None:
    with pytest.raises(ConfigError, match="pairs"):
        SinusoidalPositions(7)
