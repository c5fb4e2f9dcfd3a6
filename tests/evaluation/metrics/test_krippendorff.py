"""Krippendorff's alpha against the examples that he published, and by his formula written out."""

import itertools
import random
import sys

import pytest

from trivium.errors import DataError, Unsupported
from trivium.evaluation.metrics import krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": sections A, B, and C to G.
MEG = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
OWEN = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
BEN, GERRY = list("aabbdcccedda"), list("babbbccceddd")
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(
    ("ratings", "level", "alpha"),
    [
        ([MEG, OWEN], "nominal", 0.095),
        ([BEN, GERRY], "nominal", 0.692),
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
        (FOUR, "interval", 0.849),
        (FOUR, "ratio", 0.797),
    ],
)
def test_the_published_examples(ratings, level, alpha):
    assert krippendorff_alpha(ratings, level=level)["alpha"] == pytest.approx(alpha, abs=5e-4)


def test_what_is_counted():
    # The twelfth unit has one rating, which tells nothing of agreement.
    assert krippendorff_alpha(FOUR)["units"] == 11
    assert krippendorff_alpha(FOUR)["ratings"] == 40
    alone = [[*rater, extra] for rater, extra in zip(FOUR, [9, None, None, None], strict=True)]
    assert krippendorff_alpha(alone, level="interval") == krippendorff_alpha(FOUR, level="interval")


def test_agreement_is_1_and_its_opposite_below_0():
    assert krippendorff_alpha([[1, 2, 3], [1, 2, 3]], level="ordinal")["alpha"] == pytest.approx(1)
    assert krippendorff_alpha([[1, 2], [2, 1]], level="ordinal")["alpha"] < 0


def by_definition(ratings):
    """1 - observed over expected disagreement of interval data: mean squared differences within a unit and at all."""
    units = [[r for r in unit if r is not None] for unit in zip(*ratings, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    everything = [r for unit in units for r in unit]
    n = len(everything)
    observed = (
        sum(sum((a - b) ** 2 for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / n
    )
    expected = sum((a - b) ** 2 for a, b in itertools.permutations(everything, 2)) / (n * (n - 1))
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(5))
def test_interval_is_its_definition(seed):
    draw = random.Random(seed)
    ratings = [[draw.choice([None, 1, 2.5, 4, 7]) for _ in range(20)] for _ in range(4)]
    assert krippendorff_alpha(ratings, level="interval")["alpha"] == pytest.approx(by_definition(ratings), abs=1e-12)


@pytest.mark.parametrize(
    ("ratings", "level", "told"),
    [
        ([[1, 2, 3]], "ordinal", "two raters or more"),
        ([[1, 2, 3], [1, 2]], "ordinal", "2, 3 ratings"),
        ([[1, None], [None, 2]], "ordinal", "0 units with two ratings"),
        ([[2, 2], [2, 2]], "ordinal", "1 different ratings"),
        ([["a", "b"], ["a", "a"]], "ordinal", "no ordinal rating"),
        ([[1.0, float("inf")], [1, 2]], "interval", "no interval rating"),
        ([["a", 1], ["a", 2]], "nominal", "no nominal rating"),
        ([[-1, 2], [1, 2]], "ratio", "true zero"),
        ([[1, 2], [1, 2]], "cardinal", "no such level"),
    ],
)
def test_what_has_no_agreement_is_refused(ratings, level, told):
    with pytest.raises(DataError, match=told):
        krippendorff_alpha(ratings, level=level)


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    with pytest.raises(Unsupported, match=r"trivium-lm\[eval\]"):
        krippendorff_alpha([MEG, OWEN])
