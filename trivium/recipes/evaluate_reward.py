"""How often a reward model likes the better answer better, how sure of it it may be, and what length has to do with it.

An answer that is longer is liked better more often than not, by people and by models (Singhal et al. 2023, "A Long Way
to Go: Investigating Length Correlations in RLHF"). The length-controlled accuracy is the mean of two: among pairs whose
better answer is the longer one, and among those whose better answer is the shorter. Who goes by length has 1/2.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trivium.data.conversations import Turn
from trivium.data.preferences.judged import Judged
from trivium.data.preferences.pairs import Pair, pairs_of
from trivium.errors import DataError
from trivium.evaluation import metrics
from trivium.evaluation.bag_of_words import right_by_words, right_by_words_of_the_rest
from trivium.evaluation.intervals import Interval, bootstrap, mean_of_proportions, proportion
from trivium.lm.reward import RewardModel
from trivium.recipes.evaluate_regression import correlated
from trivium.runtime.progress import bar

_AT_ONCE = 128
_LENGTH_BINS = 5
_FEWEST_FOR_WORDS = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preferred:
    """One pair, and what the model makes of it."""

    prompt: str
    """What was asked last."""
    chosen: str
    rejected: str
    criterion: str
    difference: float
    """The score of the chosen answer less that of the rejected one, by this criterion; above 0 the model agrees."""
    disagreement: float | None
    """Standard deviation of that difference over the members of an ensemble."""


def evaluate_reward(
    reward: RewardModel,
    judged: Sequence[Judged],
    *,
    training: Sequence[Judged] = (),
    limit: int | None = None,
    silent: bool = True,
) -> tuple[dict[str, Any], list[Preferred]]:
    """`{"task", "metrics", "intervals", "count", "settings"}` and every pair.

    Counted are pairs of answers, of ranks or else of scores; a criterion that the model does not score is measured by
    its one number of an answer. ``accuracy`` is the share of pairs whose better answer has the higher score,
    ``longer_wins`` what the longer answer would have, ``words_alone`` a logistic regression on word counts, learnt from
    ``training`` or else from the other pairs. ``ece`` is the calibration error of sigmoid(difference). Of scores also
    their correlations, of good and bad answers how often the raw number is on the right side of 0. A `limit` takes
    judgements spread evenly over the data.

    Raises `DataError` for data in which nothing can be measured.
    """
    count = min(limit or len(judged), len(judged))
    chosen = [judged[index * len(judged) // count] for index in range(count)]
    pairs, scored = _pairs(chosen), [each for each in chosen if each.scores or each.good is not None]
    if not pairs and not scored:
        raise DataError("no answer is said to be better than another, nor has a score", fix="give data with judgements")
    read = _Scored.of(reward, [*_of_pairs(pairs), *_of_judged(scored)], silent=silent)
    answered = [_preferred(pair, read) for pair in pairs]
    figures: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    if pairs:
        _compare(figures, intervals, pairs, answered, _pairs(training))
    _correlate(figures, intervals, scored, read)
    _tell_good(figures, intervals, scored, read)
    return {
        "task": "reward",
        "metrics": figures,
        "intervals": intervals,
        "count": len(pairs) or sum(len(each.answers) for each in scored),
        "settings": {"limit": limit, "confidence": 0.95, "members": len(reward.scorers)},
    }, answered


# Pairs ----------------------------------------------------------------------------------------------------------------


def _compare(
    figures: dict[str, Any],
    intervals: dict[str, list[float]],
    pairs: Sequence[Pair],
    answered: Sequence[Preferred],
    training: Sequence[Pair],
) -> None:
    differences = np.array([one.difference for one in answered])
    right, groups = differences > 0, np.array([pair.group for pair in pairs])
    longer = np.array([len(pair.chosen) - len(pair.rejected) for pair in pairs])
    intervals["accuracy"] = _ends(interval := _share(right, groups))
    figures |= {"accuracy": interval.estimate, "mean_difference": float(differences.mean())}
    figures["longer_wins"] = float(((longer > 0) + 0.5 * (longer == 0)).mean())
    words = _by_words(pairs, groups, training)
    if words is not None:
        intervals["words_alone"] = _ends(interval := _share(words, groups))
        figures["words_alone"] = interval.estimate
    sides = [right[longer > 0], right[longer < 0]]
    if all(map(len, sides)):
        controlled = mean_of_proportions([int(side.sum()) for side in sides], list(map(len, sides)))
        figures["length_controlled_accuracy"] = controlled.estimate
        intervals["length_controlled_accuracy"] = _ends(controlled)
    figures["by_length"] = _by_length(longer, right)
    probability = 1 / (1 + np.exp(-np.clip(differences, -50, 50)))
    calibration = metrics.calibration(np.maximum(probability, 1 - probability), right.astype(int))
    figures |= {name: calibration[name] for name in ("ece", "brier", "confidence")}
    figures["reliability"] = calibration["bins"]
    criteria = list(dict.fromkeys(one.criterion for one in answered))
    if len(criteria) > 1:
        figures["per_criterion"] = {}
        for name in criteria:
            own = np.array([one.criterion == name for one in answered])
            interval = _share(right[own], groups[own])
            figures["per_criterion"][name] = {"accuracy": interval.estimate, "count": int(own.sum())}
            intervals[f"accuracy of {name}"] = _ends(interval)
    spreads = [one.disagreement for one in answered if one.disagreement is not None]
    if spreads:
        figures["disagreement"] = float(np.mean(spreads))


def _share(right: np.ndarray, groups: np.ndarray) -> Interval:
    """The share of right pairs. Pairs of one ranking go together, so that rankings are what is drawn; of single pairs
    Wilson's interval has a width even where all are right."""
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if sizes.max() == 1 or len(sizes) < 2:
        return proportion(int(right.sum()), len(right))
    rows = np.stack([np.bincount(place, right.astype(float)), sizes.astype(float)], 1)
    return bootstrap(rows, lambda sums: sums[..., 0] / sums[..., 1])


def _ends(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _by_words(pairs: Sequence[Pair], groups: np.ndarray, training: Sequence[Pair]) -> np.ndarray | None:
    """None where there are too few pairs to learn from."""
    texts = [(pair.chosen, pair.rejected) for pair in pairs]
    if len(training) >= _FEWEST_FOR_WORDS:
        return np.array(right_by_words([(pair.chosen, pair.rejected) for pair in training], texts))
    if len(set(groups.tolist())) >= _FEWEST_FOR_WORDS:
        return np.array(right_by_words_of_the_rest(texts, groups.tolist()))
    return None


def _by_length(longer: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Accuracy by how many characters the better answer is longer, in parts of about as many pairs."""
    edges = np.unique(np.quantile(longer, np.linspace(0, 1, _LENGTH_BINS + 1)))
    found = []
    for low, high in itertools.pairwise(edges) if len(edges) > 1 else [(longer[0], longer[0])]:
        inside = (longer >= low) & ((longer < high) | (high == edges[-1]) & (longer <= high))
        if inside.any():
            interval = proportion(int(right[inside].sum()), int(inside.sum()))
            found.append(
                {
                    "longer_by": float(np.median(longer[inside])),
                    "accuracy": interval.estimate,
                    "low": interval.low,
                    "high": interval.high,
                    "count": int(inside.sum()),
                }
            )
    return found


def _preferred(pair: Pair, read: "_Scored") -> Preferred:
    better, worse = (read.number(pair.messages, answer, pair.criterion) for answer in (pair.chosen, pair.rejected))
    differences = better - worse
    return Preferred(
        prompt=pair.messages[-1]["content"],
        chosen=pair.chosen,
        rejected=pair.rejected,
        criterion=pair.criterion,
        difference=float(differences.mean()),
        disagreement=float(differences.std(correction=0)) if len(differences) > 1 else None,
    )


# Scores and labels ----------------------------------------------------------------------------------------------------


def _correlate(
    figures: dict[str, Any], intervals: dict[str, list[float]], judged: Sequence[Judged], read: "_Scored"
) -> None:
    """Pearson's and Spearman's correlation with the scores of each criterion that are not all equal."""
    for name in dict.fromkeys(name for each in judged for name in each.scores):
        rows = [(each, place) for each in judged if name in each.scores for place in range(len(each.answers))]
        targets = [each.scores[name][place] for each, place in rows]
        if len(set(targets)) > 1:
            given = [float(read.number(each.messages, each.answers[place], name).mean()) for each, place in rows]
            told, ends = correlated(given, targets)
            figures |= {f"{figure} of {name}": value for figure, value in told.items()}
            intervals |= {f"{figure} of {name}": value for figure, value in ends.items()}


def _tell_good(
    figures: dict[str, Any], intervals: dict[str, list[float]], judged: Sequence[Judged], read: "_Scored"
) -> None:
    """How often the raw number is above 0 where the answer is good, and below where it is bad."""
    rows = [(each, place) for each in judged if each.good is not None for place in range(len(each.answers))]
    if not rows:
        return
    good = np.array([bool(each.good and each.good[place]) for each, place in rows])
    above = np.array([float(read.number(each.messages, each.answers[place], None).mean()) > 0 for each, place in rows])
    interval = proportion(int((good == above).sum()), len(rows))
    figures |= {"good_or_bad": interval.estimate, "share_of_the_commoner": float(max(good.mean(), 1 - good.mean()))}
    intervals["good_or_bad"] = _ends(interval)


# Reading --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scored:
    """Every answer that is asked for, read once."""

    places: dict[str, int]
    """By prompt and answer, the row of ``numbers``."""
    numbers: Float[Tensor, "M N C"]
    """As `RewardModel.numbers`."""
    weighed: Float[Tensor, "M N"]
    """The weighted sum of the criteria, before bias and gain."""
    criteria: tuple[str, ...]

    @classmethod
    def of(cls, reward: RewardModel, asked: Sequence[tuple[Sequence[Turn], str]], *, silent: bool) -> "_Scored":
        each = {_key(messages, answer): (messages, answer) for messages, answer in asked}
        rows = sorted(each.values(), key=lambda row: len(row[1]))  # of about one length together
        found = []
        with bar("reward", total=len(rows), unit="answers", silent=silent) as progress:
            for start in range(0, len(rows), _AT_ONCE):
                some = rows[start : start + _AT_ONCE]
                found.append(reward.numbers([messages for messages, _ in some], [answer for _, answer in some]))
                progress.advance(len(some))
        numbers = torch.cat(found, dim=1)
        weights = torch.tensor([scorer.facts.weights for scorer in reward.scorers], dtype=numbers.dtype)
        return cls(
            places={_key(*row): place for place, row in enumerate(rows)},
            numbers=numbers,
            weighed=torch.einsum("mnc,mc->mn", numbers, weights),
            criteria=reward.criteria,
        )

    def number(self, messages: Sequence[Turn], answer: str, criterion: str | None) -> Float[Tensor, "M"]:
        """What each member gives the answer by the criterion; the sum of all for one that is not scored."""
        place = self.places[_key(messages, answer)]
        if criterion not in self.criteria:
            return self.weighed[:, place]
        return self.numbers[:, place, self.criteria.index(criterion)]


def _key(messages: Sequence[Turn], answer: str) -> str:
    return repr([*((turn["role"], turn["content"]) for turn in messages), answer])


def _pairs(judged: Sequence[Judged]) -> list[Pair]:
    return pairs_of(judged, from_scores=not any(each.ranks for each in judged)).pairs if judged else []


def _of_pairs(pairs: Sequence[Pair]) -> list[tuple[Sequence[Turn], str]]:
    return [(pair.messages, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]


def _of_judged(judged: Sequence[Judged]) -> list[tuple[Sequence[Turn], str]]:
    return [(each.messages, answer) for each in judged for answer in each.answers]
