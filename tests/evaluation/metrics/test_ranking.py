"""Ranking figures by hand, against scikit-learn, and on judged queries."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from trivium.errors import DataError
from trivium.evaluation.metrics import mean_average_precision, mrr, ndcg, precision_at, recall_at

GRADES = st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(any)


@settings(max_examples=50)
@given(GRADES, st.integers(1, 12))
def test_equal_to_scikit_learn(grades, k):
    ranked, scores = list(range(len(grades))), -np.arange(len(grades))
    assert ndcg([ranked], [dict(enumerate(grades))], k=k)[f"ndcg@{k}"] == pytest.approx(
        ndcg_score([grades], [scores], k=k)
    )
    gains = [2**grade - 1 for grade in grades]
    exponential = ndcg([ranked], [dict(enumerate(grades))], k=k, gain="exponential")[f"ndcg@{k}"]
    assert exponential == pytest.approx(ndcg_score([gains], [scores], k=k))
    relevant = [[index for index, grade in enumerate(grades) if grade]]
    theirs = average_precision_score([grade > 0 for grade in grades], scores)
    assert mean_average_precision([ranked], relevant)["map"] == pytest.approx(theirs)


def test_by_hand():
    predictions, references = [["b", "x", "a"], ["y", "z"]], [{"a", "b", "c"}, ["w", "z"]]
    assert mrr(predictions, references)["mrr"] == (1 + 1 / 2) / 2
    assert mrr(predictions, references, k=1)["mrr@1"] == 1 / 2
    assert recall_at(predictions, references, k=3)["recall@3"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert precision_at(predictions, references, k=3, per_example=True)["per_example"]["precision@3"] == [2 / 3, 1 / 3]
    assert mean_average_precision(predictions, references)["map"] == pytest.approx(((1 + 2 / 3) / 3 + 1 / 2 / 2) / 2)
    assert mrr([["x"]], [["a"]])["mrr"] == 0


@settings(max_examples=50)
@given(st.permutations(range(8)), st.sets(st.integers(0, 7), min_size=1))
def test_a_better_place_never_scores_less(ranked, relevant):
    figures = [m([ranked], [relevant]) for m in (ndcg, mrr, recall_at, precision_at, mean_average_precision)]
    best = sorted(ranked, key=lambda one: one not in relevant)
    for metric, figure in zip((ndcg, mrr, recall_at, precision_at, mean_average_precision), figures, strict=True):
        (name, value), (_, most) = *figure.items(), *metric([best], [relevant]).items()
        assert 0 <= value <= most <= 1 + 1e-12
        if name != "precision@10":
            assert most == pytest.approx(1)


def test_judged_queries_of_a_real_collection(shared_data):
    judged = collections.defaultdict(dict)
    for line in (shared_data / "unclear-cranfield" / "cranqrel").read_text(encoding="utf-8").splitlines():
        query, document, grade = (int(part) for part in line.split()[:3])
        judged[query][document] = float(5 - grade) if grade > 0 else 0.0  # 1 is a complete answer, 4 the least
    queries = [one for one in sorted(judged) if any(judged[one].values())]
    references = [judged[query] for query in queries]
    perfect = [sorted(grades, key=grades.get, reverse=True) for grades in references]
    assert ndcg(perfect, references)["ndcg@10"] == pytest.approx(1)
    backwards = [ranked[::-1] for ranked in perfect]
    assert ndcg(backwards, references)["ndcg@10"] < 1
    theirs = [ndcg_score([list(g.values())], [-np.arange(len(g))], k=10) for g in references if len(g) > 1]
    as_listed = [list(grades) for grades in references if len(grades) > 1]
    ours = ndcg(as_listed, [grades for grades in references if len(grades) > 1])["ndcg@10"]
    assert ours == pytest.approx(np.mean(theirs))


def test_bad_rankings_are_refused():
    with pytest.raises(DataError, match="query 0 has no list of different documents"):
        mrr([["a", "a"]], [["a"]])
    with pytest.raises(DataError, match="nothing is relevant to query 1"):
        mrr([["a"], ["b"]], [["a"], {"b": 0.0}])
    with pytest.raises(DataError, match="negative"):
        ndcg([["a"]], [{"a": -1.0}])
    with pytest.raises(DataError, match="negative"):
        ndcg([["a"]], [{"a": float("nan")}])
    with pytest.raises(DataError, match="k must be"):
        recall_at([["a"]], [["a"]], k=0)
