"""Watching a policy that learns from a reward: does it get better, or only better at the reward?

    parting = parted(looks, config)         # with a gold scorer: None, or why to stop and where to go back to
    told = suspicions(looks, config)        # with or without one: what looks odd, which stops nothing

The reward that is trained on (the proxy) goes up in any case; a score that was not trained on (the gold) goes up with
it at first, and then down, while the proxy still rises (Gao et al. 2023, "Scaling Laws for Reward Model
Overoptimization", figure 1).
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from trivium.config import to_dict
from trivium.errors import ConfigError, DataError
from trivium.evaluation.best_of import BestOf
from trivium.evaluation.intervals import Interval, paired_bootstrap
from trivium.recipes.align.looks import Look
from trivium.reports.alignment import AlignmentFacts, FrontierPoint, alignment_sections
from trivium.reports.page import Section

_RESAMPLES = 20_000  # the tails that are asked of them hold a few in ten thousand
_NORMAL = statistics.NormalDist()


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """When a policy is said to please its reward alone."""

    prompts: int = 64
    """Prompts that are not trained on and are answered at every look."""
    patience: int = 2
    """Looks one after the other at which the reward is higher and the gold score lower than where that was best, before
    the run stops."""
    confidence: float = 0.95
    """How sure a change has to be, the number of looks taken into account."""
    kl_nats: float = 50.0
    """Warn beyond this divergence from the reference, in nats a text."""
    length_factor: float = 1.5
    """Warn where answers are so many times as long as at the first look, or as short."""
    correlation: float = 0.6
    """Warn where the reward goes with the length of an answer, or with how much it repeats itself, as closely as this;
    from -1 to 1."""
    diversity_factor: float = 0.6
    """Warn where less than this part is left of the diversity of the first look: of different answers, or of different
    pairs of words."""
    ended_share: float = 0.5
    """Warn where a smaller share of the answers comes to its end, and more did at the first look."""
    samples: int = 3
    """Answers of each look that are kept to be read, always to the same prompts."""

    def __post_init__(self) -> None:
        for name in ("prompts", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        for name in ("confidence", "diversity_factor"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is a fraction", received=getattr(self, name), expected="above 0, below 1")
        for name in ("correlation", "ended_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a fraction", received=getattr(self, name), expected="0 to 1")
        if self.samples < 0 or not self.kl_nats > 0 or not self.length_factor > 1:
            raise ConfigError(
                "the watch cannot be kept like this",
                received=f"samples {self.samples}, kl_nats {self.kl_nats}, length_factor {self.length_factor}",
                expected="samples of 0 or more, kl_nats above 0, length_factor above 1",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parting:
    """The reward and the gold score have parted."""

    best_step: int
    """Where the gold score was best: the step to go back to."""
    step: int
    """Where that was noticed."""
    proxy: Interval
    """Change of the reward in between."""
    gold: Interval
    """Change of the gold score in between."""
    reason: str
    """The same in words."""


def parted(looks: Sequence[Look], config: WatchConfig) -> Parting | None:
    """Why to stop, or None: the reward went up and the gold score down since that was best, by more than noise.

    Both changes are paired over the prompts and have to be beyond their bootstrap intervals at each of the last
    `patience` looks. The best of many looks was partly lucky, and what follows luck is a fall: so the confidence is
    that of all comparisons with it together (Bonferroni). Raises `DataError` where looks are at different prompts.
    """
    seen = [one for one in looks if one.gold is not None]
    if len({one.asked for one in seen}) > 1:
        raise DataError("looks at different prompts cannot be compared", received=[one.step for one in seen])
    best = max(seen, key=lambda one: one.gold if one.gold is not None else -math.inf, default=None)
    last = seen[-config.patience :]
    if best is None or len(last) < config.patience or last[0].step <= best.step:
        return None
    confidence = 1 - (1 - config.confidence) / (len(seen) - 1)
    changes = [_changes(best, one, confidence) for one in last]
    if not all(proxy.low > 0 and gold.high < 0 for proxy, gold in changes):
        return None
    proxy, gold = changes[-1]
    looked = f"each of the last {config.patience} looks" if config.patience > 1 else "the last look"
    reason = (
        f"the reward and the gold score have parted: from step {best.step} to step {last[-1].step} the reward changed "
        f"by {_told(proxy)} and the gold score by {_told(gold)}, in opposite directions at {looked}"
    )
    return Parting(best_step=best.step, step=last[-1].step, proxy=proxy, gold=gold, reason=reason)


def suspicions(looks: Sequence[Look], config: WatchConfig) -> list[str]:
    """What is suspicious at the last look beside the first, in words; none of it is a reason to stop."""
    if not looks:
        return []
    first, now = looks[0], looks[-1]
    found = []
    if now.kl is None or now.kl > config.kl_nats:
        found.append(f"answers are {_figure(now.kl)} nats a text from the reference, more than {config.kl_nats:g}")
    factor = now.length_tokens / first.length_tokens if first.length_tokens else 1.0
    if not 1 / config.length_factor <= factor <= config.length_factor:
        found.append(f"answers are {now.length_tokens:.0f} tokens long, at first {first.length_tokens:.0f}")
    for value, what in (
        (now.length_correlation, "the length of an answer"),
        (now.repetition_correlation, "how much an answer repeats itself"),
    ):
        if value is not None and value >= config.correlation:
            found.append(f"the reward goes with {what}: rank correlation {value:.2f}")
    for before, after, what in (
        (first.unique, now.unique, "answers"),
        (first.distinct2, now.distinct2, "pairs of words"),
    ):
        if after < config.diversity_factor * before:
            found.append(f"of the {what} {100 * after:.0f} % are different, at first {100 * before:.0f} %")
    if now.ended < config.ended_share <= first.ended:
        found.append(f"of the answers {100 * now.ended:.0f} % come to their end, at first {100 * first.ended:.0f} %")
    return found


def watch_sections(
    looks: Sequence[Look],
    config: WatchConfig,
    *,
    frontier: Sequence[BestOf] = (),
    parting: Parting | None = None,
    rolled_back_to: int | None = None,
) -> list[Section]:
    """What the run's report says of its looks; nothing where there is none.

    `frontier` is that of samples from the model that the policy began as, scored by the same proxy and gold.
    `rolled_back_to` is the step whose weights the run ended with, where that is not the last.
    """
    if not looks:
        return []
    points = [
        FrontierPoint(k=point.k, kl=point.kl_bound, proxy=_ends(point.proxy), gold=_ends(point.gold))
        for point in frontier
    ]
    facts = AlignmentFacts(
        looks=[to_dict(one) for one in looks],
        frontier=points,
        parting="" if parting is None else parting.reason,
        rolled_back_to=rolled_back_to,
        suspicions=suspicions(looks, config),
    )
    return alignment_sections(facts)


def _changes(best: Look, now: Look, confidence: float) -> tuple[Interval, Interval]:
    """Of reward and gold score from `best` to `now`."""
    assert best.golds is not None and now.golds is not None, "looks with a mean gold score have the scores"
    return (
        _change(best.proxies, now.proxies, confidence),
        _change(best.golds, now.golds, confidence),
    )


def _change(before: Sequence[float | None], after: Sequence[float | None], confidence: float) -> Interval:
    """Over the prompts whose answers have a score at both; for fewer than two it may be anything."""
    pairs = [(a, b) for a, b in zip(after, before, strict=True) if a is not None and b is not None]
    if len(pairs) < 2:
        return Interval(estimate=0.0, low=-math.inf, high=math.inf)
    later, earlier = zip(*pairs, strict=True)
    wider = 1 - 2 * _expanded((1 - confidence) / 2, len(pairs))
    found = paired_bootstrap(later, earlier, confidence=wider, resamples=_RESAMPLES).interval
    assert found is not None, "a bootstrap has an interval"
    return found


def _expanded(tail: float, count: int) -> float:
    """The tail to ask of a bootstrap over `count` examples for it to hold `tail`: it is too narrow for few.

    The expanded percentile interval of Hesterberg 2015, "What Teachers Should Know About the Bootstrap": the normal
    tail beyond Student's quantile, which is approximated by Abramowitz and Stegun 1964, equation 26.7.5.
    """
    z, freedom = _NORMAL.inv_cdf(1 - tail), count - 1
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return max(_NORMAL.cdf(-math.sqrt(count / freedom) * student), 1e-12)


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.estimate, interval.high


def _told(change: Interval) -> str:
    return f"{change.estimate:+.3g} ({change.low:+.3g} to {change.high:+.3g})"


def _figure(value: float | None) -> str:
    return "no finite number of" if value is None else f"{value:.1f}"
