"""The limit of perplexity, and the rule in the funnel."""

import math

import pytest

from trivium.data.quality.limits import KEEP
from trivium.data.quality.perplexity import judge, limit_for
from trivium.errors import DataError


def test_the_limit_is_a_percentile_of_a_reference():
    reference = [float(number) for number in range(1, 101)] + [math.inf]
    assert limit_for(reference, 30) == pytest.approx(30.7) and limit_for(reference, 60) == pytest.approx(60.4)
    with pytest.raises(DataError):
        limit_for([math.inf], 95)


def test_the_rule_in_the_funnel(model, articles):
    perplexity = model.perplexity(articles[0])
    assert judge(articles[0], model, perplexity) == KEEP
    assert judge(articles[0], model, 0.99 * perplexity).rule is not None
    verdict = judge("xqzt wvkp " * 20, model, 12.34)
    assert verdict.rule == "perplexity: above 12.3" and float(verdict.detail) > 12.34
