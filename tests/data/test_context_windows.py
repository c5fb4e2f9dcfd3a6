"""Windows over a long text beside its question: all of the text is read, and neighbours overlap."""

from itertools import pairwise

import pytest

from trivium.data.context_windows import context_of, context_windows
from trivium.tokenizers.joined import Joined


def row_of(question: int, text: int) -> Joined:
    """[CLS] question [SEP] text [SEP], of tokens that are numbered as they stand."""
    sides = [None, *[0] * question, None, *[1] * text, None]
    return Joined(ids=list(range(len(sides))), types=[side or 0 for side in sides], sides=sides, offsets=[])


@pytest.mark.parametrize(("longest", "stride"), [(12, 3), (12, 100), (8, 1), (40, 3), (None, 3)])
def test_every_token_of_the_text_is_read(longest: int | None, stride: int):
    row = row_of(question=4, text=20)
    context = context_of(row)
    assert context == range(6, 26)
    found = list(context_windows(row, context, longest=longest, stride=stride, cls_id=0))
    assert {place for one in found for place in one.row.ids if place in context} == set(context)
    for window in found:
        assert longest is None or len(window.row.ids) <= longest
        assert window.row.ids[: window.before] == [0, 1, 2, 3, 4, 5] and window.row.ids[-1] == 26
        text = window.row.ids[window.before : window.before + window.size]
        assert text == list(context[window.first : window.first + window.size])
        assert window.none == 0 and window.row.types[window.before] == 1
    for one, other in pairwise(found):
        assert one.first < other.first <= max(one.first + 1, one.first + one.size // 2)


def test_a_question_may_be_cut_and_no_answer_stand_anywhere():
    row = row_of(question=9, text=5)
    (window,) = context_windows(row, context_of(row), longest=20, stride=4, cls_id=10, question_tokens=2)
    assert window.row.ids == [0, 1, 2, 10, 11, 12, 13, 14, 15, 16]
    assert (window.before, window.size, window.none) == (4, 5, 3)
    assert not context_of(row_of(question=3, text=0))
