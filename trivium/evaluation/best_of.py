"""The best of n samples: how much a reward gains by choosing alone, with no training, and at what distance.

Of N samples a prompt, scored by the reward that chooses (the proxy) and by one that is trusted (the gold), the expected
scores of the best of k are known for every k up to N without drawing again (Nakano et al. 2021, "WebGPT", appendix I;
Gao et al. 2023, "Scaling Laws for Reward Model Overoptimization", appendix A). It is what a trained policy has to beat:
at the same distance from where it began, a better policy has a higher gold score than the best of n.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from trivium.errors import DataError
from trivium.evaluation.intervals import Comparison, Interval, corrected_interval, paired_bootstrap, paired_permutation
from trivium.evaluation.metrics import checks

Samples = Sequence[Sequence[float]] | np.ndarray
"""One number a sample, [P, N]: prompts, and samples of each."""


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """What the best of `k` samples is worth."""

    k: int
    """How many samples the proxy chooses from."""
    kl_bound: float
    """Divergence from the sampled model that it has at most, in nats."""
    proxy: Interval
    """Expected score by the reward that chooses."""
    gold: Interval
    """Expected score by the one that is trusted."""


@dataclass(frozen=True, kw_only=True)
class AgainstSamples:
    """A policy's answers compared with samples of the model it came from, on the same prompts, by the gold score."""

    single: Comparison
    """With a single sample."""
    best: Comparison
    """With the best of `k` by the proxy."""
    k: int
    """How many that was chosen from."""


def kl_bound(k: int) -> float:
    """log k - (k - 1)/k nats, an upper bound of the divergence of the best of `k` from one sample.

    Stiennon et al. 2020, "Learning to Summarize from Human Feedback", appendix G.3, who give it as the divergence; it
    is so where no two samples are equal, and less otherwise (Beirami et al. 2024, "Theoretical Guarantees on the
    Best-of-n Alignment Policy", theorem 1).
    """
    checks.at_least_one("k", k)
    return math.log(k) - (k - 1) / k


def frontier(
    proxy: Samples, gold: Samples, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> list[BestOf]:
    """The best of k for every k from 1 to N; the intervals are of other prompts of the same kind.

    All k are measured on the same resamples of prompts. Raises `DataError` for fewer than two prompts, prompts with
    unequal numbers of samples, and scores that are no finite numbers.
    """
    proxy, gold = _tables(proxy, gold)
    checks.at_least_one("resamples", resamples)
    prompts, most = proxy.shape
    of_prompts = np.concatenate([expected_best(proxy, proxy), expected_best(proxy, gold)], 1)
    drawn = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), resamples)
    figures = drawn @ of_prompts / prompts
    left_out = (of_prompts.sum(0) - of_prompts) / (prompts - 1)
    intervals = [
        corrected_interval(float(estimate), figures[:, at], left_out[:, at], confidence=confidence)
        for at, estimate in enumerate(of_prompts.mean(0))
    ]
    return [
        BestOf(k=k, kl_bound=kl_bound(k), proxy=intervals[k - 1], gold=intervals[most + k - 1])
        for k in range(1, most + 1)
    ]


def expected_best(proxy: Float[np.ndarray, "P N"], scores: Float[np.ndarray, "P N"]) -> Float[np.ndarray, "P N"]:
    """Of each prompt the expected score of the sample that `proxy` likes best among k + 1 drawn without replacement.

    With the samples sorted by the proxy, the i-th of N is the best of k in C(i - 1, k - 1) of the C(N, k) draws, which
    makes the mean over all draws, and so no draw is left to chance. Samples that the proxy likes equally are chosen
    equally often.
    """
    order = np.argsort(proxy, axis=1, kind="stable")
    ranked, values = (np.take_along_axis(part, order, axis=1) for part in (proxy, scores))
    for row, line in zip(ranked, values, strict=True):
        _, group, size = np.unique(row, return_inverse=True, return_counts=True)
        line[:] = (np.bincount(group, line) / size)[group]
    return values @ _chances(proxy.shape[1]).T


def against_samples(
    policy: Sequence[float] | np.ndarray,
    proxy: Samples,
    gold: Samples,
    *,
    k: int = 4,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> AgainstSamples:
    """A policy's one answer to each prompt, by its gold score, against one sample and the best of `k` [P, N].

    What the samples are worth is their expectation for each prompt, which varies less than a draw. The interval is that
    of the paired bootstrap over prompts, the p-value that of the paired permutation. Raises `DataError` as `frontier`
    does, for unequal numbers of prompts, and where there are fewer than `k` samples.
    """
    proxy, gold = _tables(proxy, gold)
    mine = checks.numbers(policy, "gold scores of the policy")
    if k > proxy.shape[1]:
        raise DataError(f"the best of {k} takes as many samples", received=f"{proxy.shape[1]} a prompt")
    checks.at_least_one("k", k)
    worth = expected_best(proxy, gold)

    def compared(samples: np.ndarray) -> Comparison:
        drawn = paired_bootstrap(mine, samples, confidence=confidence, resamples=resamples, seed=seed)
        swapped = paired_permutation(mine, samples, resamples=resamples, seed=seed)
        return Comparison(difference=drawn.difference, p_value=swapped.p_value, interval=drawn.interval)

    return AgainstSamples(single=compared(worth[:, 0]), best=compared(worth[:, k - 1]), k=k)


def _chances(samples: int) -> Float[np.ndarray, "N N"]:
    """[k - 1, i - 1]: C(i - 1, k - 1) / C(N, k), the chance that the i-th from below is the best of k.

    From k / N for the last, by factors: the chance of i - 1 is that of i times (i - k) / (i - 1).
    """
    k, i = np.arange(1, samples + 1)[:, None], np.arange(samples, 1, -1)[None, :]
    factors = np.clip(i - k, 0, None) / (i - 1)
    falling = np.cumprod(np.concatenate([k / samples, factors], 1), axis=1)
    return falling[:, ::-1]


def _tables(proxy: Samples, gold: Samples) -> tuple[np.ndarray, np.ndarray]:
    first, second = checks.numbers(proxy, "proxy scores"), checks.numbers(gold, "gold scores")
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2 or not first.shape[1]:
        raise DataError(
            "these scores are no table of samples",
            received=f"proxy scores of shape {first.shape}, gold scores of shape {second.shape}",
            expected="both [prompts, samples of each], two prompts at least",
        )
    return first, second
