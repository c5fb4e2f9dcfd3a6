"""The measuring of perplexity: by hand, and on real text against the same words in another order."""

import json

import numpy as np
import pytest

from trivium.data.quality import perplexity_report
from trivium.data.quality.perplexity_report import measured, shuffled
from trivium.errors import DataError


def test_real_text_against_its_own_words_in_another_order(model, shared_data):
    articles = (shared_data / "wikitext2" / "test.txt").read_text(encoding="utf-8").split("\n = ")
    good = [article[:2000] for article in articles if len(article) > 1000][:40]
    limit = float(np.percentile([model.perplexity(text) for text in good], 90))
    report = measured(model, good, shuffled(good), limit=limit, sources=["a"] * 20 + ["b"] * 20)
    assert report.area > 0.95
    assert report.removals.overall.wrongly_removed == 4 and report.removals.precision > 0.85
    assert [group.name for group in report.removals.groups][-2:] == ["from a", "from b"]
    assert sum(group.wrongly_removed for group in report.removals.groups[-2:]) == 4
    assert report.good[1] < report.limit < report.unwanted[1]
    assert "removed above" in report.table() and json.dumps(report.facts())


def test_shuffled_words_are_the_same_words():
    text = "one two three four five six seven"
    (mixed,) = shuffled([text])
    assert mixed != text and sorted(mixed.split()) == sorted(text.split())
    assert shuffled([text]) == [mixed] and shuffled([text], seed=1) != [mixed]
    chinese = "人人生而自由在尊严和权利上一律平等他们赋有理性和良心"
    (mixed,) = shuffled([chinese])
    assert mixed != chinese and sorted(mixed) == sorted(chinese)
    assert shuffled([""]) == [""]


def test_the_area_counts_pairs():
    area = perplexity_report._area
    assert area(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert area(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx((0.5 + 0 + 0 + 0) / 4)
    assert area(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == 0.5


@pytest.mark.parametrize(("good", "bad"), [([], ["a"]), (["a"], []), ([""], ["a"]), (["a"], [" "])])
def test_both_kinds_of_text_are_needed(model, good, bad):
    with pytest.raises(DataError, match="no text to measure"):
        measured(model, good, bad, limit=5)
