"""Which texts are read together."""

import random

import pytest

from trivium.lm.together import together


def test_the_longest_first_and_as_many_as_fit() -> None:
    assert list(together([3, 9, 1, 3, 2], 6)) == [[1], [0, 3], [2, 4]]
    assert list(together([], 6)) == []
    assert list(together([0, 0], 6)) == [[0, 1]]


@pytest.mark.parametrize("seed", range(20))
def test_every_text_once_and_never_too_much(seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.randrange(1, 30) for _ in range(40)]
    groups = list(together(lengths, 40))
    assert sorted(place for group in groups for place in group) == list(range(40))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[place] for place in group) <= 40
