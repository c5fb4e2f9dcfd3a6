"""Student's interval over runs, against scipy."""

import numpy as np
import pytest
import scipy.stats

from trivium.errors import DataError
from trivium.evaluation.over_seeds import over_seeds, student_quantile


@pytest.mark.parametrize("freedom", [1, 2, 4, 30, 500])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9983])
def test_quantiles(freedom, confidence):
    expected = scipy.stats.t.ppf((1 + confidence) / 2, freedom)
    assert student_quantile(confidence, freedom) == pytest.approx(expected, rel=1e-9)


def test_the_interval():
    found = over_seeds([1.0, 2.0, 6.0], confidence=0.9)
    low, high = scipy.stats.t.interval(0.9, 2, loc=3.0, scale=scipy.stats.sem([1, 2, 6]))
    assert (found.estimate, found.low, found.high) == pytest.approx((3.0, low, high), rel=1e-9)
    assert over_seeds(np.array([2.0, 2.0])).low == 2.0


def test_it_holds_as_often_as_it_says():
    chance = np.random.default_rng(0)
    found = [over_seeds(figures) for figures in chance.normal(5, 2, (1000, 3))]
    assert 930 <= sum(each.low < 5 < each.high for each in found) <= 970


def test_what_is_refused():
    with pytest.raises(DataError, match="one run"):
        over_seeds([1.0])
    with pytest.raises(DataError, match="no share"):
        over_seeds([1.0, 2.0], confidence=1.0)
