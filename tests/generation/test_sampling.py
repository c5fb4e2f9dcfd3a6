"""Drawing tokens by the inverse of the cumulative distribution."""

import random

import pytest
import torch

from trivium.generation.sampling import choose, draw, source_of_chance
from trivium.generation.settings import GenerationSettings


def test_the_draw_inverts_the_cumulative_distribution() -> None:
    logits = torch.tensor([[0.25, 0.0, 0.5, 0.25, 0.0]], dtype=torch.float64).log()
    uniforms = torch.tensor([0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits.expand(7, -1), uniforms).tolist() == [0, 0, 2, 2, 2, 3, 3]


def test_a_token_of_probability_0_is_never_drawn() -> None:
    logits = torch.full((1, 9), float("-inf"))
    logits[0, 4] = 3.0
    for u in (0.0, 0.5, 1 - 2**-53):
        assert draw(logits, torch.tensor([u], dtype=torch.float64)).item() == 4


def test_rounding_over_a_large_vocabulary_stays_inside_it() -> None:
    logits = torch.cat([torch.randn(4, 50000), torch.full((4, 50), float("-inf"))], dim=1)
    ids = draw(logits, torch.full((4,), 1 - 2**-53, dtype=torch.float64))
    assert ids.max() < 50000


def test_draws_follow_the_distribution() -> None:
    """Chi-square over 9 tokens, 8 degrees of freedom: 26.1 is passed with probability 0.001."""
    logits = torch.randn(1, 9)
    draws = 20000
    chance = random.Random(5)
    uniforms = torch.tensor([chance.random() for _ in range(draws)], dtype=torch.float64)
    counts = torch.bincount(draw(logits.expand(draws, -1), uniforms), minlength=9)
    expected = torch.softmax(logits[0].double(), -1) * draws
    assert ((counts - expected).square() / expected).sum() < 26.1


def test_sources_of_chance_differ_by_seed_and_by_answer() -> None:
    first = [source_of_chance(seed, answer).random() for seed in (0, 1, 2**40) for answer in (0, 1)]
    assert len(set(first)) == 6
    assert source_of_chance(7, 1).random() == source_of_chance(7, 1).random()


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_log_probabilities_are_of_the_unprocessed_distribution(temperature: float) -> None:
    logits = torch.randn(3, 11, dtype=torch.float64)
    settings = GenerationSettings(max_new_tokens=1, temperature=temperature, top_k=2 if temperature else None)
    ids, log_probs = choose(logits, settings, [random.Random(i) for i in range(3)])
    expected = torch.log_softmax(logits, -1)[torch.arange(3), ids]
    torch.testing.assert_close(log_probs, expected, rtol=0, atol=1e-14)


def test_greedy_takes_the_lower_id_of_equals_and_so_does_top_k_1() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0]])
    greedy, _ = choose(logits, GenerationSettings(max_new_tokens=1), [random.Random(0)])
    sampled, _ = choose(logits, GenerationSettings(max_new_tokens=1, temperature=1.0, top_k=1), [random.Random(0)])
    assert greedy.tolist() == sampled.tolist() == [1]


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 2, "top_p": 0.5}])
def test_nan_logits_give_a_nan_and_no_crash(settings: dict) -> None:
    logits = torch.tensor([[0.0, float("nan"), 1.0, 2.0]])
    _, log_probs = choose(logits, GenerationSettings(max_new_tokens=1, **settings), [random.Random(0)])
    assert log_probs.isnan().all()
