"""A question beside a text that is too long for one row: the windows in which the text is read.

for window in context_windows(row, context_of(row), longest=384, stride=128, cls_id=tokenizer.cls_id):
    print(window.row.ids, window.first)

Each window holds the question and a stretch of the text; they overlap, so that an answer at the edge of one stands
inside another (Devlin et al. 2018, the code published with it).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trivium.tokenizers.joined import Joined


@dataclass(frozen=True, kw_only=True)
class ContextWindow:
    """A question with a part of its text."""

    row: Joined
    """What is read; without offsets."""
    first: int
    """Token of the text that the window begins with."""
    before: int
    """Tokens of the row before that one."""
    size: int
    """Tokens of the text in it."""
    none: int
    """Place in the row of the token that stands for no answer: [CLS], or else the first."""


def context_of(row: Joined) -> range:
    """Where in a row the second text stands, which a question is asked about; empty where it has no tokens."""
    places = [place for place, side in enumerate(row.sides) if side == 1]
    return range(places[0], places[-1] + 1) if places else range(0)


def context_windows(
    row: Joined,
    context: range,
    *,
    longest: int | None,
    stride: int,
    cls_id: int | None,
    question_tokens: int | None = None,
) -> Iterator[ContextWindow]:
    """The windows of ``row``, whose text stands at ``context``.

    Args:
        row: the question and the whole text, as the vocabulary joins them.
        context: places of the text; some.
        longest: tokens of a window, of which at least one is left for the text; None: all of the row.
        stride: tokens from the beginning of one window to that of the next; never more than half of what there is room
            for, so that windows overlap however small they are.
        cls_id: the id of the token that stands for no answer, where there is one.
        question_tokens: the question is cut after so many; None: it is whole.
    """
    asked = [place for place, side in enumerate(row.sides) if side == 0]
    dropped = set() if question_tokens is None else set(asked[question_tokens:])
    before = [place for place in range(context.start) if place not in dropped]
    after = range(context.stop, len(row.ids))
    room = len(context) if longest is None else longest - len(before) - len(after)
    assert room > 0, (room, longest)
    start, step = 0, max(1, min(stride, room // 2))
    while True:
        end = min(start + room, len(context))
        kept = [*before, *context[start:end], *after]
        part = Joined(
            ids=[row.ids[place] for place in kept],
            types=[row.types[place] for place in kept],
            sides=[row.sides[place] for place in kept],
            offsets=[],
        )
        none = part.ids.index(cls_id) if cls_id in part.ids else 0
        yield ContextWindow(row=part, first=start, before=len(before), size=end - start, none=none)
        if end == len(context):
            return
        start += step
