"""The best of several samples."""

from random import Random

from trivium.generation.request import Request
from trivium.generation.search.best_of import best
from trivium.generation.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=4, temperature=1.0)


def answered(*log_probs: float) -> Request:
    request = Request(prompt=[1], settings=SETTINGS, chance=Random(0))
    for log_prob in log_probs:
        request.append(3, log_prob)
    return request


def test_the_highest_mean_log_probabilities_come_first() -> None:
    long, short, poor = answered(-1.0, -0.5, -0.9, -0.8), answered(-1.0), answered(-0.1, -5.0)
    assert best([poor, short, long], 3) == [long, short, poor]
    assert best([poor, short, long], 1) == [long]


def test_of_equal_answers_the_one_sampled_first_comes_first() -> None:
    requests = [answered(-2.0), answered(-0.5, -1.5), answered(-1.0, -1.0), answered(-1.0)]
    assert best(requests, 3) == requests[1:]
    assert best(requests, 2) == requests[1:3]
