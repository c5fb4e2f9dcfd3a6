"""ALiBi: slopes of the paper, and distances by hand."""

import pytest
import torch

from trivium.nn.positions.alibi import alibi, slopes


def test_slopes_of_the_paper() -> None:
    """Press et al. 2022, section 3: 1/2, 1/4, ..., 1/256 for 8 heads; 16 heads have the geometric means between too."""
    assert slopes(8) == [2.0**-n for n in range(1, 9)]
    assert slopes(16) == pytest.approx([2 ** (-n / 2) for n in range(1, 17)])
    assert slopes(1) == [2.0**-8]


def test_slopes_for_heads_that_are_no_power_of_two() -> None:
    """The 8 of 8 heads, then the first of those 16 heads have between them."""
    assert slopes(12) == pytest.approx([2.0**-n for n in range(1, 9)] + [2 ** -(n + 0.5) for n in range(4)])
    for heads in range(1, 130):
        assert len(set(slopes(heads))) == heads
        assert all(0 < slope < 1 for slope in slopes(heads))


def test_bias_is_minus_the_slope_times_the_distance() -> None:
    queries, keys = torch.tensor([[3, 4]]), torch.arange(5)
    bias = alibi(2, torch.zeros(1, dtype=torch.float64))(queries, keys)
    assert bias.shape == (1, 2, 2, 5) and bias.dtype == torch.float64
    near = torch.tensor([[-3, -2, -1, 0, 1], [-4, -3, -2, -1, 0]], dtype=torch.float64)
    assert torch.equal(bias[0], torch.stack([near / 16, near / 256]))
    rows = alibi(2, torch.zeros(1))(torch.tensor([[3], [0]]), keys)
    assert rows.shape == (2, 2, 1, 5) and torch.equal(rows[0], bias[0, :, :1].float())


def test_a_low_precision_keeps_large_positions() -> None:
    """Positions are subtracted as whole numbers: bf16 would take 1000 and 1001 for the same."""
    bias = alibi(8, torch.zeros(1, dtype=torch.bfloat16))(torch.tensor([[1001]]), torch.tensor([1000, 1001]))
    assert bias.dtype == torch.bfloat16
    assert bias[0, :, 0].tolist() == [[-slope, 0.0] for slope in slopes(8)]
