"""What is removed is counted right: altogether, by the words of groups, by source."""

import math

import numpy as np
import pytest

from trivium.data.quality.by_group import WARNING, removals

TEXTS = ["A woman, she said", "the women's old house", "old SUN", "nothing", "womanly"]
BAD = np.array([True, False, False, False, True])
REMOVED = np.array([True, True, False, True, False])
GROUPS = {"women": ("woman", "womens"), "age": ("old",), "none": ("nobody",)}


def test_counts_by_hand():
    found = removals(TEXTS, BAD, REMOVED, GROUPS, ["a", "a", "b", "", "b"])
    assert (found.precision, found.recall) == (pytest.approx(1 / 3), 0.5)
    women, age, none, a, b = found.groups
    assert (women.texts, women.removed, women.good, women.wrongly_removed) == (2, 2, 1, 1)
    assert (age.texts, age.removed, age.good, age.wrongly_removed) == (2, 1, 2, 1)
    assert none.texts == 0 and math.isnan(none.false_positive_rate)
    assert (a.name, a.texts, a.wrongly_removed, b.name, b.texts, b.wrongly_removed) == ("from a", 2, 1, "from b", 2, 0)
    overall = 2 / 3
    assert found.equality_difference == pytest.approx((1 - overall) + (overall - 0.5) + (1 - overall) + overall)
    assert found.precision_at(0.5) == pytest.approx(0.25 / (0.25 + overall / 2))


def test_the_table_warns_and_the_facts_have_no_nan():
    found = removals(TEXTS, BAD, REMOVED, GROUPS, ["a long name of a source"] * 5)
    table = found.table()
    assert table.endswith(WARNING) and "1 (100.0%)" in table and "from a long name of a source  " in table
    assert "none" not in table and "women" in table
    facts = found.facts()
    assert [row["name"] for row in facts["groups"]][:2] == ["all", "women"]
    assert facts["groups"][3]["false_positive_rate"] is None
    nothing = removals(TEXTS, BAD & False, REMOVED & False, {})
    assert nothing.facts()["precision"] is None and nothing.facts()["recall"] is None
