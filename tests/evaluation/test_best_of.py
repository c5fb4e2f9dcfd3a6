"""The best of n: against every draw that there is, against sampling, and against the bound of its divergence."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from trivium.errors import DataError
from trivium.evaluation import best_of
from trivium.evaluation.best_of import Samples, against_samples, expected_best, frontier, kl_bound


def scores(prompts: int, samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A proxy, and a gold that follows it in part."""
    chance = np.random.default_rng(seed)
    proxy = chance.normal(size=(prompts, samples))
    return proxy, 0.5 * proxy + chance.normal(size=(prompts, samples))


def test_it_is_the_mean_over_every_draw() -> None:
    proxy, gold = scores(3, 7)
    found = expected_best(proxy, gold)
    for row, k in itertools.product(range(3), range(1, 8)):
        draws = list(itertools.combinations(range(7), k))
        best = [gold[row, max(draw, key=lambda i: proxy[row, i])] for draw in draws]
        assert found[row, k - 1] == pytest.approx(math.fsum(best) / len(draws), abs=1e-12)


def test_equal_proxies_are_chosen_equally_often() -> None:
    proxy = np.array([[1.0, 2.0, 2.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    gold = np.array([[5.0, 1.0, 4.0, 9.0, 7.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    found = expected_best(proxy, gold)
    for row, k in itertools.product(range(2), range(1, 6)):
        draws = list(itertools.combinations(range(5), k))
        worth = []
        for draw in draws:
            top = max(proxy[row, i] for i in draw)
            tied = [gold[row, i] for i in draw if proxy[row, i] == top]
            worth.append(sum(tied) / len(tied))
        assert found[row, k - 1] == pytest.approx(sum(worth) / len(worth), abs=1e-12)
    shuffled = [4, 2, 0, 1, 3]
    assert expected_best(proxy[:, shuffled], gold[:, shuffled]) == pytest.approx(found, abs=1e-12)


def test_the_chances_are_exact_and_add_up_for_many_samples() -> None:
    found = best_of._chances(300)
    assert found.sum(1) == pytest.approx(np.ones(300), abs=1e-12)
    for i, k in ((300, 1), (300, 150), (299, 3), (151, 150), (200, 150), (10, 2)):
        exact = float(Fraction(math.comb(i - 1, k - 1), math.comb(300, k)))
        assert found[k - 1, i - 1] == pytest.approx(exact, rel=1e-12)
    assert not found[149, :149].any()  # the best of 150 is never among the 149 lowest


def test_it_has_no_bias_where_draws_with_replacement_have_one() -> None:
    """The best of 4 of normal scores is 1.0294 above their mean (Harter 1961, table 1), however few are drawn."""
    chance = np.random.default_rng(1)
    proxy = chance.normal(size=(20_000, 5))
    assert expected_best(proxy, proxy)[:, 3].mean() == pytest.approx(1.0294, abs=0.015)


def test_ends_of_the_frontier() -> None:
    proxy, gold = scores(40, 6)
    found = frontier(proxy, gold)
    assert [point.k for point in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].kl_bound == 0
    assert found[0].gold.estimate == pytest.approx(gold.mean())
    assert found[0].proxy.estimate == pytest.approx(proxy.mean())
    chosen = gold[np.arange(40), proxy.argmax(1)]
    assert found[5].gold.estimate == pytest.approx(chosen.mean())
    assert found[5].proxy.estimate == pytest.approx(proxy.max(1).mean())
    rising = [point.proxy.estimate for point in found]
    assert rising == sorted(rising)
    assert all(point.gold.low < point.gold.estimate < point.gold.high for point in found)
    assert all(point.proxy.low < point.proxy.estimate < point.proxy.high for point in found)


def test_intervals_hold_the_truth_of_other_prompts() -> None:
    held = 0
    for seed in range(100):
        proxy, _ = scores(30, 4, seed)
        shift = np.random.default_rng(1000 + seed).normal(size=(30, 1))  # prompts differ, and that is what is drawn
        interval = frontier(proxy + shift, proxy + shift, confidence=0.9, resamples=400, seed=seed)[3].gold
        held += interval.low <= 1.0294 <= interval.high
    assert 82 <= held <= 97


def test_one_seed_one_frontier() -> None:
    proxy, gold = scores(10, 3)
    assert frontier(proxy, gold, seed=3) == frontier(proxy, gold, seed=3) != frontier(proxy, gold, seed=4)


def test_what_was_given_is_not_changed() -> None:
    proxy, gold = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]), np.array([[3.0, 5.0, 1.0], [1.0, 2.0, 6.0]])
    kept = proxy.copy(), gold.copy()
    frontier(proxy, gold, resamples=10)
    expected_best(proxy, gold)
    assert (proxy == kept[0]).all() and (gold == kept[1]).all()


def test_bound_of_the_divergence_by_hand() -> None:
    assert kl_bound(1) == 0
    assert kl_bound(2) == pytest.approx(math.log(2) - 0.5)
    assert kl_bound(4) == pytest.approx(0.6363, abs=1e-4)


@pytest.mark.parametrize("k", [2, 4, 9])
def test_bound_is_above_the_divergence_of_few_answers_and_is_met_by_many(k: int) -> None:
    """Of m equally likely answers the j-th from below is the best of k with chance (j/m)^k - ((j-1)/m)^k."""

    def divergence(m: int) -> float:
        chances = [(j / m) ** k - ((j - 1) / m) ** k for j in range(1, m + 1)]
        return math.fsum(p * math.log(p * m) for p in chances if p)

    assert divergence(2) < divergence(10) < kl_bound(k)
    assert divergence(20_000) == pytest.approx(kl_bound(k), rel=1e-3)


def test_a_better_policy_is_told_from_an_equal_one() -> None:
    proxy, gold = scores(200, 8)
    one = gold[:, 0]
    equal = against_samples(one, proxy, gold)
    assert equal.k == 4
    assert equal.single.interval is not None and equal.single.interval.low < 0 < equal.single.interval.high
    assert equal.single.p_value > 0.05
    assert equal.best.interval is not None and equal.best.interval.high < 0 and equal.best.p_value < 0.01
    assert equal.best.difference == pytest.approx(one.mean() - expected_best(proxy, gold)[:, 3].mean())
    better = against_samples(one + 1.5, proxy, gold, k=2)
    assert better.best.interval is not None and better.best.interval.low > 0 and better.single.p_value < 0.01
    assert better.single.difference == pytest.approx(one.mean() + 1.5 - gold.mean())


def test_pairs_count_and_not_only_means() -> None:
    """Prompts differ far more than policies do: what is 0.1 better at every prompt is better."""
    proxy, gold = scores(50, 4)
    hard = 100 * np.arange(50)[:, None]
    policy = (gold + hard).mean(1) + 0.1
    assert against_samples(policy, proxy, gold + hard).single.p_value < 0.01


WRONG = {
    "one prompt": ([[1.0, 2.0]], [[1.0, 2.0]]),
    "other shapes": ([[1.0, 2.0], [1.0, 2.0]], [[1.0], [2.0]]),
    "ragged": ([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0]]),
    "no samples": ([[], []], [[], []]),
    "not finite": ([[1.0, math.nan], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]]),
    "one number a prompt": (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
}


@pytest.mark.parametrize(("proxy", "gold"), WRONG.values(), ids=WRONG)
def test_what_is_no_table_of_samples_is_refused(proxy: Samples, gold: Samples) -> None:
    with pytest.raises(DataError):
        frontier(proxy, gold)


def test_more_samples_than_there_are_and_other_prompts_are_refused() -> None:
    proxy, gold = scores(5, 3)
    with pytest.raises(DataError, match="best of 4"):
        against_samples(gold[:, 0], proxy, gold)
    with pytest.raises(DataError):
        against_samples(gold[:4, 0], proxy, gold, k=2)
    with pytest.raises(DataError):
        kl_bound(0)
