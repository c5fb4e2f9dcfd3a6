"""From judgements to pairs, of which the first answer is liked better.

A ranking of K answers makes C(K, 2) pairs. They are no independent examples: shuffled among others, one pass reads
every answer K - 1 times and overfits. They stay together in a `group`, and each weighs 1 / C(K, 2) (Ouyang et al. 2022,
section 3.5 and eq. 1).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from trivium.config import did_you_mean
from trivium.data.conversations import Turn
from trivium.data.preferences.consistency import Votes, contradictions, criteria_ranks, votes_of
from trivium.data.preferences.judged import Judged
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two answers to one prompt, the first liked better."""

    messages: tuple[Turn, ...]
    """The conversation before the answer."""
    chosen: str
    """The better answer."""
    rejected: str
    """The worse one."""
    margin: float | None
    """By how much, where it is known: the margin of the file, or the difference of the scores it comes from."""
    weight: float
    """1 / C(K, 2) of the K answers that were ranked together; a ranking with ties weighs less than 1 in all, as it says
    less."""
    group: int
    """Which of the judgements it comes from: the pairs of one ranking stay together."""
    criterion: str
    """By what it is better."""
    where: str
    """The file, and the line or item in it, for messages."""
    probability: float = 1.0
    """How probable it is that the first is better, from 0.5 on: less than 1 where whoever judged was not sure."""

    @property
    def directed(self) -> list[tuple[str, str, float]]:
        """(better, worse, weight) as both ways round are learnt: a loss of the first so much and of the other the rest
        is the cross-entropy with a soft label (Bai et al. 2022, section 4.1)."""
        ways = [
            (self.chosen, self.rejected, self.weight * self.probability),
            (self.rejected, self.chosen, self.weight * (1 - self.probability)),
        ]
        return [way for way in ways if way[2]]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs, and what was left out of them."""

    pairs: list[Pair]
    """In the order of the judgements."""
    identical: int
    """Pairs of the same text twice."""
    ties: int
    """Pairs of which neither is better."""
    contradictory: int
    """Pairs of which as many or more judgements of the same prompt say the opposite: what most say counts, and where
    both are said as often, neither."""
    circles: int
    """Prompts and criteria by which answers go round in a circle: a over b over c over a, by what most say. Their pairs
    are among ``pairs``; `contradictions` names them."""

    @property
    def told(self) -> str:
        """What was made, for people: "1,203 pairs; left out: 3 of identical answers, 12 ties"."""
        counts = {
            "of identical answers": self.identical,
            "ties": self.ties,
            "that others contradict": self.contradictory,
        }
        left_out = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        said = f"{len(self.pairs):,} {'pair' if len(self.pairs) == 1 else 'pairs'}"
        said += f"; left out: {left_out}" if left_out else ""
        return f"{said}; in a circle: {self.circles:,}" if self.circles else said


def pairs_of(judged: Sequence[Judged], criterion: str | None = None, *, from_scores: bool = False) -> Pairs:
    """All C(K, 2) pairs of every ranking.

    Args:
        judged: what was said.
        criterion: by which of the criteria; None: by each of them, which makes pairs of each.
        from_scores: also make pairs of answers that have scores and no ranks, the higher one better.

    Returns:
        The pairs, with `Pair.group` an index into ``judged``; none where nothing is ranked.

    Raises:
        ConfigError: nothing is ranked by ``criterion``.
    """
    ranked = [criteria_ranks(each, from_scores=from_scores) for each in judged]
    if criterion is not None:
        _check(criterion, sorted({name for ranks in ranked for name in ranks}))
    votes = votes_of(judged, from_scores=from_scores)
    pairs: list[Pair] = []
    left_out: Counter[str] = Counter()
    for group, (each, by) in enumerate(zip(judged, ranked, strict=True)):
        for name in by if criterion is None else by.keys() & {criterion}:
            for better, worse in _ordered(by[name]):
                fate = _fate(each.answers[better], each.answers[worse], by[name][worse] - by[name][better])
                if fate is None and not _most_say(votes[each.prompt, name], each.answers[better], each.answers[worse]):
                    fate = "contradictory"
                if fate is None:
                    pairs.append(_pair(each, name, better, worse, group))
                else:
                    left_out[fate] += 1
    circles = {
        (found.prompt, found.criterion)
        for found in contradictions(judged, from_scores=from_scores)
        if len(found.answers) > 2 and criterion in (None, found.criterion)
    }
    return Pairs(
        pairs=pairs,
        identical=left_out["identical"],
        ties=left_out["ties"],
        contradictory=left_out["contradictory"],
        circles=len(circles),
    )


def split(judged: Sequence[Judged], fraction: float) -> tuple[list[Judged], list[Judged]]:
    """(to train on, held out), such that no prompt stands on both sides: it goes by what the user said first. Where a
    prompt falls does not depend on what else there is.

    Args:
        judged: what was said.
        fraction: the share of the prompts that is held out, in (0, 1).

    Raises:
        DataError: one side would be empty.
    """
    training: list[Judged] = []
    held_out: list[Judged] = []
    for each in judged:
        (held_out if is_held_out(each.asked, fraction) else training).append(each)
    if not training or not held_out:
        raise DataError(
            "there are too few prompts to hold any out",
            received=f"{len({each.asked for each in judged})} prompts, {fraction:g} of them held out",
            expected="at least one on each side",
            fix="give more, or a file of its own to measure on",
        )
    return training, held_out


def _ordered(ranks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Every two of the answers, the better first."""
    for one, other in combinations(range(len(ranks)), 2):
        yield (one, other) if ranks[one] <= ranks[other] else (other, one)


def _fate(one: str, other: str, difference: int) -> str | None:
    """Why no pair is made of two answers; None where one is."""
    if one == other:
        return "identical"
    return None if difference else "ties"


def _most_say(votes: Votes, better: str, worse: str) -> bool:
    return votes[better, worse] > votes[worse, better]


def _pair(judged: Judged, criterion: str, better: int, worse: int, group: int) -> Pair:
    count = len(judged.answers)
    return Pair(
        messages=judged.messages,
        chosen=judged.answers[better],
        rejected=judged.answers[worse],
        margin=_margin(judged, criterion, better, worse),
        weight=2 / (count * (count - 1)),
        group=group,
        criterion=criterion,
        where=judged.where,
        probability=1.0 if judged.probability is None else judged.probability,
    )


def _margin(judged: Judged, criterion: str, better: int, worse: int) -> float | None:
    if judged.margin is not None:
        return judged.margin if better == 0 else None
    if criterion in judged.ranks or criterion not in judged.scores:
        return None
    return judged.scores[criterion][better] - judged.scores[criterion][worse]


def _check(criterion: str, names: Sequence[str]) -> None:
    if criterion not in names:
        raise ConfigError(
            "nothing is ranked by this criterion",
            received=criterion,
            expected=", ".join(names) or "rankings or pairs",
            fix=did_you_mean(criterion, names),
        )
