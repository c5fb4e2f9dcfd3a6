"""The bit-parallel table against the textbook's, and its way back against rouge-score's."""

from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import lcs_ind

from trivium.evaluation.metrics.lcs import lcs_length, lcs_positions, places

WORDS = st.lists(st.sampled_from("abcd"), max_size=80)


@given(WORDS, WORDS)
def test_the_length_is_that_of_the_table(left, right):
    row = [0] * (len(right) + 1)
    for a in left:
        before = 0
        for j, b in enumerate(right):
            before, row[j + 1] = row[j + 1], before + 1 if a == b else max(row[j], row[j + 1])
    assert lcs_length(left, right) == row[-1]


@given(WORDS, WORDS)
def test_the_positions_are_those_of_rouge_score(reference, candidate):
    positions = lcs_positions(reference, places(candidate), len(candidate))
    assert positions[::-1] == lcs_ind(reference, candidate)
    assert len(positions) == lcs_length(reference, candidate)


def test_a_word_stands_at_several_places():
    assert places(["a", "b", "a"]) == {"a": 0b101, "b": 0b010}
