"""The sheet of one rater: what is asked next, and what was said, kept after every answer."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivium.data.conversations import Turn, Unusable
from trivium.data.preferences.judged import ranks_of
from trivium.errors import DataError, StorageError
from trivium.runtime import atomic

Said = dict[tuple[int, str], tuple[int, ...] | None]
"""(item, criterion) -> rank of each answer in the order of the item; None for what was skipped."""
_PARTS = re.compile(r"[\s,>]+")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One prompt and the answers to be ranked."""

    messages: tuple[Turn, ...]
    """The conversation before the answers."""
    answers: tuple[str, ...]
    """Two or more, all different."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One prompt, its answers as they are shown, and by what they are to be ranked."""

    messages: tuple[Turn, ...]
    """The conversation before the answers."""
    answers: tuple[str, ...]
    """In an order of this rater's own, the same for every criterion; the first is called 1."""
    criterion: str
    """By what they are to be ranked."""
    description: str
    """What the rater is asked about it; empty where there is nothing but the name."""
    number: int
    """Which of the rater's questions it is, counted from 1."""
    count: int
    """How many there are."""
    said: tuple[int, ...] | None
    """The ranks that were given, in the order shown, where the rater has gone back to it."""


class Sheet:
    """What one rater is asked, item by item, by one criterion after the other.

    The items come in the order of the data for everyone, so that those who stop early have ranked the same ones. Each
    answer is on the disk before the next question is there; another sheet on the same file goes on where it stopped.
    """

    def __init__(self, items: Sequence[Item], criteria: Mapping[str, str], *, rater: str, seed: int, file: Path):
        self._items = items
        self._criteria = criteria
        self._questions = [(item, name) for item in range(len(items)) for name in criteria]
        self._orders = [_order(len(item.answers), f"{seed} {rater} {at}") for at, item in enumerate(items)]
        self._file = file
        _mend(file)
        self._said = read_said(file, items, criteria)
        self._at = self._next(0)

    @property
    def question(self) -> Question | None:
        """What is asked now; None where everything is answered or skipped."""
        if self._at >= len(self._questions):
            return None
        at, criterion = self._questions[self._at]
        item, order, said = self._items[at], self._orders[at], self._said.get((at, criterion))
        return Question(
            messages=item.messages,
            answers=tuple(item.answers[place] for place in order),
            criterion=criterion,
            description=self._criteria[criterion],
            number=self._at + 1,
            count=len(self._questions),
            said=None if said is None else tuple(said[place] for place in order),
        )

    def answer(self, words: str) -> None:
        """Ranks the answers of the question, such as "2 1=3". Raises as `ranking` does, and the question stays."""
        at, _ = self._asked()
        shown = ranking(words, len(self._items[at].answers))
        ranks = dict(zip(self._orders[at], shown, strict=True))
        self._keep([ranks[place] for place in range(len(shown))])

    def skip(self) -> None:
        """Leaves the question out; it is not asked again unless the rater goes back to it."""
        self._keep(None)

    def back(self) -> bool:
        """Goes back to the question before, whose next answer counts instead; False where this is the first."""
        self._at = max(0, (before := self._at) - 1)
        return self._at < before

    def _asked(self) -> tuple[int, str]:
        assert self._at < len(self._questions), "there is a question"
        return self._questions[self._at]

    def _keep(self, ranks: list[int] | None) -> None:
        at, criterion = self._asked()
        line = json.dumps({"item": at, "criterion": criterion, "ranks": ranks}, ensure_ascii=False) + "\n"
        try:
            with self._file.open("ab", buffering=0) as file:
                file.write(line.encode())
                atomic.sync(file.fileno())
        except OSError as error:
            raise StorageError(
                "the answer cannot be written",
                received=f"{self._file}: {error.strerror or error}",
                fix="free some space; what was said before is there",
            ) from error
        self._said[at, criterion] = None if ranks is None else tuple(ranks)
        self._at = self._next(self._at + 1)

    def _next(self, start: int) -> int:
        """The first question from ``start`` on that nothing was said to."""
        return next(
            (at for at in range(start, len(self._questions)) if self._questions[at] not in self._said),
            len(self._questions),
        )


def ranking(words: str, count: int) -> tuple[int, ...]:
    """The rank of each of ``count`` answers, from their numbers, the best first: "2 1=3", "2 > 1 = 3" or "2, 1=3".

    Of two answers the better one is enough. Raises `DataError` unless each stands there once.
    """
    groups = [part.split("=") for part in _PARTS.split(re.sub(r"\s*=\s*", "=", words.strip())) if part]
    if count == 2 and groups in ([["1"]], [["2"]]):
        groups.append(["2" if groups == [["1"]] else "1"])
    given = [number for group in groups for number in group]
    if sorted(given) != sorted(str(number) for number in range(1, count + 1)):
        raise DataError(
            "this is no ranking of the answers",
            received=repr(words)[:80],
            expected=f"the numbers 1 to {count}, each once, the best first and = between equal ones, as 2 1=3"
            if count > 2
            else "the better one, 1 or 2, or 1=2 where they are equal",
        )
    ranks: dict[int, int] = {}
    for group in groups:
        better = len(ranks)
        ranks |= {int(number): better + 1 for number in group}
    return tuple(ranks[number] for number in range(1, count + 1))


def spelt(ranks: Sequence[int]) -> str:
    """Ranks as a person would type them, what `ranking` reads: "2 1=3"."""
    places = {rank: [str(at) for at, other in enumerate(ranks, start=1) if other == rank] for rank in sorted(ranks)}
    return " ".join("=".join(numbers) for numbers in places.values())


def read_said(file: Path, items: Sequence[Item], criteria: Mapping[str, str]) -> Said:
    """What a rater has said; of two answers to a question the later counts. A line without its end, torn when the
    process was killed, is passed over. Raises `DataError` for a line that is no answer to what was asked."""
    said: Said = {}
    # Without its end a line could still be growing; it may even end within a letter, which is why these are bytes.
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            at, criterion, ranks = _checked(line, items, criteria)
        except Unusable as error:
            raise DataError(
                "a line of what a rater said cannot be used",
                received=f"{file}, line {number}: {error}",
                fix="remove the line: the question is asked again",
            ) from error
        said[at, criterion] = ranks
    return said


def _checked(
    line: bytes, items: Sequence[Item], criteria: Mapping[str, str]
) -> tuple[int, str, tuple[int, ...] | None]:
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    match told:
        case {"item": int(at), "criterion": str(criterion), "ranks": None | list() as ranks}:
            if not 0 <= at < len(items) or criterion not in criteria:
                raise Unusable(f"item {at} by {criterion!r} was never asked")
            if ranks is None:
                return at, criterion, None
            if len(ranks) != len(items[at].answers) or not all(isinstance(rank, int) for rank in ranks):
                raise Unusable(f"no whole number for each of {len(items[at].answers)} answers: {ranks}")
            return at, criterion, ranks_of(ranks)
    raise Unusable(f"it is no answer to a question: {line[:80].decode(errors='replace')!r}")


def _mend(file: Path) -> None:
    """Cuts off a line that was torn when the process was killed, so that the next one begins a line."""
    if file.exists() and not (content := file.read_bytes()).endswith(b"\n"):
        with file.open("r+b") as torn:
            torn.truncate(content.rfind(b"\n") + 1)


def _order(count: int, key: str) -> list[int]:
    order = list(range(count))
    random.Random(key).shuffle(order)
    return order
