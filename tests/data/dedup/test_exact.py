"""Equal documents, by their digests."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup.exact import as_array, digest, first_equal


def test_case_and_white_space_make_no_difference() -> None:
    assert digest("Straße  und\nWEG ") == digest("STRASSE und weg")
    assert digest("a b") != digest("ab")
    assert digest("a\ud800") != digest("a")
    # The same on every machine, Python and release: digests are kept between runs.
    assert digest("A  b").hex() == "acc9227cc02e5f5c13e74125bce89499"


def test_duplicates_differ_in_case_and_white_space_only() -> None:
    texts = ("A  b", "a b", "ab", "a\nB", "a c")
    assert first_equal(as_array([digest(text) for text in texts])).tolist() == [0, 0, 2, 0, 4]


@given(st.lists(st.sampled_from(["a", "b", "c c", "d", ""])))
def test_the_first_equal_is_the_first(texts: list[str]) -> None:
    found = first_equal(as_array([digest(text) for text in texts]))
    assert found.tolist() == [texts.index(text) for text in texts]


def test_both_halves_of_a_digest_count() -> None:
    digests = np.array([[1, 2], [1, 3], [2, 2], [1, 3]], dtype=np.uint64)
    assert first_equal(digests).tolist() == [0, 1, 2, 1]
