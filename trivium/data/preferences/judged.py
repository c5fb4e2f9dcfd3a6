"""What people, or models, said of answers: the one record that every form of preference data is read into."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trivium.data.conversations import Turn, Unusable

DEFAULT = "preference"
"""The criterion where a file names none."""


class LeftOut(Exception):
    """Why a line is passed over and counted, which is no error: published sets have such lines. The message is what
    is counted, as "with an empty answer"."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Answers to one prompt, and what was said of them."""

    messages: tuple[Turn, ...]
    """The conversation before the answer, roles as in `trivium.data.conversations`; it ends with a user's turn, or with
    what a tool answered."""
    answers: tuple[str, ...]
    """One or more; none of them empty."""
    ranks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Criterion -> rank of each answer: 1 is best, equal ranks are a tie, and after a tie of two at 1 comes 3."""
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Criterion -> score of each answer, finite; {} where there are none."""
    good: tuple[bool, ...] | None = None
    """Each answer good or bad; None where nothing is said."""
    margin: float | None = None
    """Of a pair: by how much the first is better, where the file says so; not negative."""
    probability: float | None = None
    """Of a pair: how probable it is that the first is better, from 0.5 to 1, where whoever judged was not sure."""
    rater: str | None = None
    """Who said it; None where the file does not tell."""
    where: str = ""
    """The file, and the line or item in it, for messages: "file.jsonl, line 3"."""
    written_as: str = field(default="", compare=False)
    """The form as people call it: "pairs", "rankings", "scores", "labels", "OpenAssistant"."""

    @property
    def prompt(self) -> str:
        """The whole conversation before the answer, as a key: equal where roles and texts are."""
        return json.dumps([(turn["role"], turn["content"], turn.get("tool_calls")) for turn in self.messages])

    @property
    def asked(self) -> str:
        """What it is held out by: what the user said first, so that answers to one question, and to what was asked
        next in the same conversation, stand on the same side."""
        return next((turn["content"] for turn in self.messages if turn["role"] == "user"), self.prompt)


def ranks_of(numbers: Sequence[int | float]) -> tuple[int, ...]:
    """Ranks of answers, checked and written in one way, 1 + the number of better answers.

    Args:
        numbers: the rank of each, 1 is best; after a tie of two at 1 may come 2 or 3, as both are usual.

    Raises:
        Unusable: they are not whole numbers from 1 on without a gap.
    """
    written = sorted(numbers)
    dense = {number: place for place, number in enumerate(sorted(set(numbers)), start=1)}
    better = {number: written.index(number) + 1 for number in dense}
    if any(number != dense[number] for number in dense) and any(number != better[number] for number in dense):
        raise Unusable(f"ranks that are not 1 to {len(numbers)}, where 1 is best and ties are equal: {list(numbers)}")
    return tuple(better[number] for number in numbers)


def ranks_by_score(scores: Sequence[float]) -> tuple[int, ...]:
    """The ranks that scores make, where the highest is best and equal ones are a tie."""
    return tuple(1 + sum(other > score for other in scores) for score in scores)
