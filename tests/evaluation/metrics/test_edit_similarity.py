"""Edit similarity by hand, and its distance against the definition."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import DataError
from trivium.evaluation.metrics import edit_similarity
from trivium.evaluation.metrics.edit_similarity import edit_distance

short = st.text("abc ", max_size=7)


@settings(max_examples=100)
@given(left=short, right=short)
def test_distance_is_the_fewest_changes(left: str, right: str) -> None:
    @cache
    def fewest(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = fewest(i - 1, j - 1) + (left[i - 1] != right[j - 1])
        return min(fewest(i - 1, j) + 1, fewest(i, j - 1) + 1, replaced)

    assert edit_distance(left, right) == edit_distance(right, left) == fewest(len(left), len(right))


def test_by_hand() -> None:
    found = edit_similarity(["kitten", "", "x = 1"], [["sitting"], [""], ["y", "x = 12"]], per_example=True)
    assert found["per_example"]["edit_similarity"] == pytest.approx([1 - 3 / 7, 1.0, 1 - 1 / 6])
    assert found["edit_similarity"] == pytest.approx((4 / 7 + 1 + 5 / 6) / 3)
    with pytest.raises(DataError):
        edit_similarity([], [])
