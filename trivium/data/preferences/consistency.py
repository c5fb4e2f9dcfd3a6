"""Judgements that contradict each other: a over b here and b over a there, or a over b over c over a.

Raters disagree with each other and with themselves: those behind InstructGPT agreed 73 % of the time (Ouyang et al.
2022, section 3.4). What most say then counts, and where as many say the one as the other, nothing does. A circle that
is left among what most say cannot be broken by counting: it is reported, and stays.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trivium.data.preferences.judged import Judged, ranks_by_score

Votes = Counter[tuple[str, str]]
"""(better, worse) -> how often that was said, of the answers to one prompt by one criterion."""
_SHOWN = 40


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Answers of which each was said to be better than the next, and the last better than the first."""

    prompt: str
    """`Judged.prompt` of what they answer."""
    criterion: str
    """By what they were judged."""
    answers: tuple[str, ...]
    """Two, where both orders were said; three or more go round in a circle of what most say."""
    votes: tuple[int, ...]
    """How often each was said to be better than the next, the last than the first."""
    where: tuple[str, ...]
    """The lines that say so, for messages."""

    @property
    def told(self) -> str:
        """For people, with the beginnings of the answers: "'Yes.' > 'No.' > 'Yes.' (2 to 1) by helpful: a.jsonl,
        line 3"."""
        names = [repr(" ".join(answer.split())[:_SHOWN]) for answer in (*self.answers, self.answers[0])]
        votes = f" ({self.votes[0]} to {self.votes[1]})" if len(self.answers) == 2 else ""
        return f"{' > '.join(names)}{votes} by {self.criterion}: {'; '.join(self.where)}"


def criteria_ranks(judged: Judged, *, from_scores: bool = False) -> dict[str, tuple[int, ...]]:
    """Criterion -> ranks; ``from_scores`` adds those that scores make, where a criterion has no ranks of its own."""
    made = {name: ranks_by_score(scores) for name, scores in judged.scores.items()} if from_scores else {}
    return {**made, **judged.ranks}


def votes_of(judged: Sequence[Judged], *, from_scores: bool = False) -> dict[tuple[str, str], Votes]:
    """(`Judged.prompt`, criterion) -> `Votes`: how often each answer was ranked above each other one."""
    votes: dict[tuple[str, str], Votes] = defaultdict(Counter)
    for each in judged:
        for criterion, ranks in criteria_ranks(each, from_scores=from_scores).items():
            votes[each.prompt, criterion].update(said(each.answers, ranks))
    return votes


def said(answers: Sequence[str], ranks: Sequence[int]) -> Iterator[tuple[str, str]]:
    """(better, worse) of every two answers that differ in rank."""
    for answer, rank in zip(answers, ranks, strict=True):
        for other, worse in zip(answers, ranks, strict=True):
            if rank < worse:
                yield answer, other


def contradictions(judged: Sequence[Judged], *, from_scores: bool = False) -> list[Contradiction]:
    """What contradicts itself: two answers in both orders, and one shortest circle of each knot of what most say."""
    found = []
    for (prompt, criterion), votes in votes_of(judged, from_scores=from_scores).items():
        if len(votes) < 2:
            continue
        both = [
            (a, b) for (a, b), count in votes.items() if 0 < votes[b, a] <= count and (votes[b, a] < count or a < b)
        ]
        for answers in [*both, *_circles(votes)]:
            steps = list(zip(answers, (*answers[1:], answers[0]), strict=True))
            found.append((prompt, criterion, answers, tuple(votes[step] for step in steps), set(steps)))
    if not found:
        return []
    lines = _lines(judged, {(prompt, criterion) for prompt, criterion, *_ in found}, from_scores)
    return [
        Contradiction(
            prompt=prompt,
            criterion=criterion,
            answers=answers,
            votes=votes,
            where=tuple(dict.fromkeys(where for where, pairs in lines[prompt, criterion] if steps & pairs)),
        )
        for prompt, criterion, answers, votes, steps in found
    ]


def _lines(
    judged: Sequence[Judged], wanted: set[tuple[str, str]], from_scores: bool
) -> dict[tuple[str, str], list[tuple[str, set[tuple[str, str]]]]]:
    """(prompt, criterion) -> where something was said of it, and what."""
    lines: dict[tuple[str, str], list[tuple[str, set[tuple[str, str]]]]] = defaultdict(list)
    for each in judged:
        for criterion, ranks in criteria_ranks(each, from_scores=from_scores).items():
            if (each.prompt, criterion) in wanted:
                lines[each.prompt, criterion].append((each.where, set(said(each.answers, ranks))))
    return lines


def _circles(votes: Votes) -> list[tuple[str, ...]]:
    """Circles of what most say. Through every answer the shortest; of those that share an answer, the first found."""
    better: dict[str, list[str]] = defaultdict(list)
    for (a, b), count in votes.items():
        if count > votes[b, a]:
            better[a].append(b)
    circles: list[tuple[str, ...]] = []
    told: set[str] = set()
    for answer in list(better):
        if answer in told:
            continue
        circle = _shortest(answer, better)
        if circle and not told & set(circle):
            circles.append(circle)
            told |= set(circle)
    return circles


def _shortest(answer: str, better: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest way from an answer over worse ones back to itself; () where there is none."""
    before: dict[str, str] = {}
    waiting = deque([answer])
    while waiting:
        here = waiting.popleft()
        for worse in better.get(here, ()):
            if worse == answer:
                way = [here]
                while way[-1] != answer:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            if worse not in before:
                before[worse] = here
                waiting.append(worse)
    return ()
