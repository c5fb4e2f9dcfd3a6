"""Balance: rare classes as often as common ones, up to a limit, the same each time."""

from collections import Counter

import pytest

from trivium.data.balanced import balanced
from trivium.errors import ConfigError

KEYS = ["common"] * 60 + ["rare"] * 20 + ["unique"] * 1


def counts(keys: list[str], **options) -> Counter[str]:
    return Counter(keys[index] for index in balanced(keys, **options).tolist())


def test_classes_become_equal_up_to_the_limit() -> None:
    assert counts(KEYS) == {"common": 60, "rare": 60, "unique": 4}
    assert counts(KEYS, most_passes=100) == {"common": 60, "rare": 60, "unique": 60}
    assert counts(KEYS, most_passes=1) == Counter(KEYS) == counts(KEYS, exponent=1)


def test_a_pass_that_is_not_whole_takes_some() -> None:
    keys = ["a"] * 3000 + ["b"] * 2000
    found = balanced(keys, seed=3).tolist()
    times = Counter(found)
    assert min(times.values()) == 1 and max(times[index] for index in range(3000, 5000)) == 2
    assert 2900 < sum(index >= 3000 for index in found) < 3100  # 1.5 passes over 2000
    assert found == balanced(keys, seed=3).tolist() != balanced(keys, seed=4).tolist()
    assert found == sorted(found)


def test_what_cannot_be_balanced() -> None:
    assert balanced([]).tolist() == []
    for options in ({"most_passes": 0.5}, {"exponent": -1}, {"exponent": 2}):
        with pytest.raises(ConfigError, match="cannot be balanced"):
            balanced(KEYS, **options)
