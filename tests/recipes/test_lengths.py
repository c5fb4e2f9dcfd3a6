"""Examples that are longer than a row: left out, cut or refused, and counted; never one with nothing to learn."""

import pytest

from trivium.data.examples import Example
from trivium.errors import DataError
from trivium.recipes.lengths import fitted

SHORT = Example.of([1, 2], [3], end_id=9)
LONG_ANSWER = Example.of([1, 2], [3, 4, 5, 6, 7], end_id=9)
LONG_PROMPT = Example.of([1, 2, 3, 4, 5, 6], [7], end_id=9)
EXAMPLES = [SHORT, LONG_ANSWER, LONG_PROMPT]


def test_long_examples_are_left_out():
    found = fitted(EXAMPLES, 3, "drop")
    assert (found.examples, found.dropped, found.cut, found.longest) == ([SHORT], 2, 0, 7)


def test_what_is_cut_learns_no_end_and_what_has_no_answer_left_is_left_out():
    found = fitted(EXAMPLES, 3, "cut")
    assert found.examples == [SHORT, Example(ids=[1, 2, 3, 4], trained=[False, False, True, True])]
    assert (found.dropped, found.cut) == (1, 1)


def test_long_examples_are_refused():
    with pytest.raises(DataError, match=r"2 of 3 examples are longer[\s\S]*7 tokens[\s\S]*context_tokens to 7"):
        fitted(EXAMPLES, 3, "refuse")
    assert fitted(EXAMPLES, 7, "refuse").examples == EXAMPLES


@pytest.mark.parametrize("too_long", ["drop", "cut"])
def test_nothing_left_is_an_error(too_long):
    with pytest.raises(DataError, match="1 of 1 examples are longer") as error:
        fitted([LONG_PROMPT], 2, too_long)
    assert ("too_long to cut" in str(error.value)) == (too_long == "drop"), "nobody is told to do what was done"


@pytest.mark.parametrize("too_long", ["drop", "cut", "refuse"])
def test_an_example_whose_tokens_are_all_masked_is_an_error_and_never_a_loss_of_nothing(too_long):
    masked = Example(ids=[1, 2, 3], trained=[False] * 3)
    with pytest.raises(DataError, match=r"nothing to learn[\s\S]*example 2 of 2"):
        fitted([SHORT, masked], 8, too_long)
