"""What words alone tell of two answers: a pattern is found, chance is not, and no pair is told by itself."""

import random

from trivium.evaluation.bag_of_words import right_by_words, right_by_words_of_the_rest

CHANCE = random.Random(0)
WORDS = [f"w{number}" for number in range(40)]


def text(*more: str) -> str:
    return " ".join([*CHANCE.choices(WORDS, k=8), *more])


POLITE = [(text("please"), text()) for _ in range(120)]
NOISE = [(text(), text()) for _ in range(300)]


def share(right: list[bool]) -> float:
    return sum(right) / len(right)


def test_a_word_that_tells_is_found() -> None:
    assert share(right_by_words(POLITE[:80], POLITE[80:])) > 0.95
    reversed_pairs = [(worse, better) for better, worse in POLITE[80:]]
    assert share(right_by_words(POLITE[:80], reversed_pairs)) < 0.05


def test_chance_is_not_learnt() -> None:
    """Told from the rest alone; a model that had seen the pairs themselves would know them."""
    groups = list(range(len(NOISE)))
    assert 0.38 < share(right_by_words_of_the_rest(NOISE, groups)) < 0.62
    assert share(right_by_words(NOISE[:60], NOISE[:60])) > 0.75


def test_pairs_of_one_group_stand_together() -> None:
    """The same pair in one group says nothing of itself; in different groups it does."""
    pairs = [pair for pair in NOISE[:40] for _ in range(3)]
    together = right_by_words_of_the_rest(pairs, [index // 3 for index in range(len(pairs))])
    apart = right_by_words_of_the_rest(pairs, list(range(len(pairs))))
    assert share(apart) > 0.9
    assert share(together) < 0.75
