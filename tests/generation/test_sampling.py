"""Drawing tokens by the inverse of the cumulative distribution."""

import random

import pytest
import torch

from trivium.generation.history import History
from trivium.generation.request import requests
from trivium.generation.sampling import choose, draw, pick, probabilities, source_of_chance
from trivium.generation.settings import Constraints, GenerationSettings


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


def test_other_prompts_have_other_chances() -> None:
    """Or the answers to many prompts would be lucky and unlucky together."""
    asked = [[1, 2], [1, 3], [12], [1, 2]]
    chances = [request.chance.random() for request in requests(asked, GenerationSettings(max_new_tokens=1, seed=3))]
    assert len(set(chances)) == 3 and chances[0] == chances[3]


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


SETTINGS = [
    {},
    {"temperature": 1.0},
    {"temperature": 1.0, "top_k": 2, "top_p": 0.5},
    {"temperature": 1.0, "min_p": 0.2},
    {"temperature": 1.0, "typical_p": 0.2},
    {"repetition_penalty": 1.2, "constraints": Constraints(no_repeat_ngram=1)},
]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("fields", SETTINGS)
def test_logits_that_are_no_numbers_give_nan_and_no_crash(fields: dict, bad: float) -> None:
    logits = torch.tensor([[0.0, bad, 1.0, 2.0]])
    settings = GenerationSettings(max_new_tokens=1, **fields)
    _, log_probs = choose(logits, settings, [random.Random(0)], [History([0])])
    assert log_probs.isnan().all()
    assert probabilities(logits, settings, [History([0])]).isnan().all()


def test_logits_without_any_token_give_nan() -> None:
    logits = torch.full((1, 4), float("-inf"))
    for temperature in (0.0, 1.0):
        settings = GenerationSettings(max_new_tokens=1, temperature=temperature)
        assert choose(logits, settings, [random.Random(0)])[1].isnan().all()
        assert probabilities(logits, settings).isnan().all()


@pytest.mark.parametrize("fields", SETTINGS)
def test_probabilities_are_those_that_tokens_are_drawn_by(fields: dict) -> None:
    """Chi-square over at most 7 tokens, 6 degrees of freedom: 22.5 is passed with probability 0.001."""
    settings = GenerationSettings(max_new_tokens=1, **fields)
    logits, histories = torch.randn(1, 7), [History([2, 3], [4])]
    draws = 4000
    chance = random.Random(1)
    many, looking_back = logits.expand(draws, -1), histories * draws
    ids, log_probs = choose(many, settings, [chance] * draws, looking_back)
    distribution = probabilities(logits, settings, histories)
    assert distribution.dtype == torch.float64 and abs(float(distribution.sum()) - 1) < 1e-12
    counts, expected = torch.bincount(ids, minlength=7), distribution[0] * draws
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    assert ((counts - expected).square()[possible] / expected[possible]).sum() < 22.5
    torch.testing.assert_close(log_probs, torch.log_softmax(many, -1).gather(-1, ids[:, None])[:, 0])


def test_the_same_number_chooses_the_same_token_through_probabilities() -> None:
    logits = torch.randn(6, 300)
    settings = GenerationSettings(max_new_tokens=1, temperature=0.8, top_p=0.9)
    ids, _ = choose(logits, settings, [random.Random(row) for row in range(6)])
    uniforms = torch.tensor([random.Random(row).random() for row in range(6)], dtype=torch.float64)
    assert torch.equal(ids, pick(probabilities(logits, settings), uniforms))
    assert torch.equal(draw(logits, uniforms), pick(torch.softmax(logits.double(), -1), uniforms))


def test_greedy_probabilities_are_all_on_the_token_that_is_taken() -> None:
    settings = GenerationSettings(max_new_tokens=1, presence_penalty=2.0)
    distribution = probabilities(torch.tensor([[1.0, 3.0, 2.0]]), settings, [History([], [1])])
    assert distribution.tolist() == [[0.0, 0.0, 1.0]]


def test_what_is_picked_from_needs_no_sum_of_1() -> None:
    left_over = torch.tensor([[0.0, 0.02, 0.0, 0.06, 0.0]], dtype=torch.float64).expand(4, -1)
    uniforms = torch.tensor([0.0, 0.2499, 0.2501, 1 - 2**-53], dtype=torch.float64)
    assert pick(left_over, uniforms).tolist() == [1, 1, 3, 3]
