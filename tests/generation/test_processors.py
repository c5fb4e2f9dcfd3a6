"""Temperature, top-k and top-p at their edges."""

import math

import pytest
import torch

from trivium.generation.processors import keep_top_k, keep_top_p, process, with_temperature
from trivium.generation.settings import GenerationSettings


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    expected = torch.softmax(logits / 0.5, -1)
    torch.testing.assert_close(torch.softmax(with_temperature(logits, 0.5), -1), expected, rtol=0, atol=1e-15)


def test_a_tiny_temperature_does_not_overflow() -> None:
    probabilities = torch.softmax(with_temperature(torch.tensor([[-1e4, 3e4, 2e4]]), 1e-6), -1)
    assert probabilities.tolist() == [[0, 1, 0]]


def test_top_k_keeps_exactly_k_and_ties_go_to_the_lower_ids() -> None:
    logits = torch.tensor([[5.0, 1.0, 5.0, 5.0, 0.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    assert kept(keep_top_k(logits, 2)) == [[0, 2], [3, 4]]
    assert kept(keep_top_k(logits, 1)) == [[0], [4]]


def test_top_k_of_the_whole_vocabulary_changes_nothing() -> None:
    logits = torch.randn(2, 5)
    assert torch.equal(keep_top_k(logits, 5), logits)
    assert torch.equal(keep_top_k(logits, 50), logits)


def test_top_p_keeps_the_fewest_tokens_whose_mass_reaches_p() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.15, 0.25, 0.5]], dtype=torch.float64).log()
    assert kept(keep_top_p(logits, 0.4)) == [[0], [3]]
    assert kept(keep_top_p(logits, 0.7)) == [[0, 1], [2, 3]]
    assert kept(keep_top_p(logits, 0.8)) == [[0, 1, 2], [1, 2, 3]]
    assert kept(keep_top_p(logits, 1.0)) == [[0, 1, 2, 3]] * 2
    assert kept(keep_top_p(logits, 1e-9)) == [[0], [3]]


def test_top_p_with_ties_keeps_no_more_than_it_needs() -> None:
    assert kept(keep_top_p(torch.zeros(1, 4), 0.5)) == [[0, 1]]


def test_top_p_where_one_token_has_all_the_mass() -> None:
    logits = torch.full((1, 6), -math.inf)
    logits[0, 3] = 0
    assert kept(keep_top_p(logits, 0.999)) == [[3]]


@pytest.mark.parametrize("spread", [0.01, 5.0])  # flat: more than the first look; peaked: fewer
def test_top_p_over_a_large_vocabulary_equals_the_full_sort(spread: float) -> None:
    logits = torch.randn(3, 2000, dtype=torch.float64) * spread
    ordered, order = torch.softmax(logits, -1).sort(-1, descending=True)
    expected = [sorted(order[row, : int((ordered[row].cumsum(0) < 0.9).sum()) + 1].tolist()) for row in range(3)]
    assert kept(keep_top_p(logits, 0.9)) == expected


def test_the_order_is_temperature_then_top_k_then_top_p() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64).log()
    settings = GenerationSettings(max_new_tokens=1, temperature=0.5, top_k=3, top_p=0.85)
    # squared and cut to three: 16, 9, 4 of 29; 25 / 29 = 0.86 reaches 0.85 with two. Without the temperature or without
    # the cut it would take three.
    assert kept(process(logits, settings)) == [[0, 1]]
    assert kept(keep_top_p(logits, 0.85)) == [[0, 1, 2]]
