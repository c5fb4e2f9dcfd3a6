"""Drawing by summed probabilities: the chances of pieces, at either size of vocabulary, and at the edges."""

import pytest
import torch

from trivium.nn.inverse_cdf import draw

SIZES = (5, 1000, 1024, 1025, 1055, 5000)
"""Summed in one go, and in blocks: without a rest, with one piece left over, with a nearly whole block."""


@pytest.mark.parametrize("pieces", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_is_the_piece_at_which_the_sum_passes_the_chance(pieces, dtype):
    torch.manual_seed(0)
    logits, chances = (3 * torch.randn(40, 7, pieces)).to(dtype), torch.rand(40, 7, dtype=torch.float64)
    summed = torch.softmax(logits.double(), -1).cumsum(-1)
    drawn = draw(logits, chances)
    above = summed.gather(-1, drawn[..., None])[..., 0]
    below = torch.where(drawn > 0, summed.gather(-1, (drawn - 1).clamp(min=0)[..., None])[..., 0], 0.0)
    slack = 1e-12 if dtype == torch.float64 else 2e-6
    assert (below - slack <= chances).all() and (chances <= above + slack).all()
    assert drawn.unique().numel() > min(pieces, 40) / 2


@pytest.mark.parametrize("pieces", SIZES)
def test_every_piece_has_its_chance(pieces):
    """Chances that are evenly spread give each piece as many draws as its probability says, to one."""
    torch.manual_seed(1)
    logits, count = torch.randn(pieces).double(), 40_000
    chances = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    drawn = draw(logits.expand(count, pieces), chances)
    counts = torch.bincount(drawn, minlength=pieces)
    assert ((counts - count * torch.softmax(logits, -1)).abs() <= 1 + 1e-6).all()


@pytest.mark.parametrize("pieces", SIZES)
def test_what_has_no_probability_is_never_drawn_not_even_at_the_edges(pieces):
    torch.manual_seed(2)
    possible = torch.rand(300, pieces) < 2 / pieces
    possible[:, pieces // 2] = True
    possible[:150, -1] = True  # where nothing is beyond
    logits = torch.randn(300, pieces).masked_fill(~possible, -torch.inf)
    for chance in (0.0, 0.5, 1 - 2**-24):
        drawn = draw(logits, torch.full((300,), chance))
        assert possible.gather(-1, drawn[:, None]).all()
