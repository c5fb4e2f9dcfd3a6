"""What the classifier looks at."""

import pytest

from trivium.data.quality.harm_features import batches, features, words


def test_order_of_words_and_letters_is_seen():
    texts = ["ab cd", "cd ab", "ba cd", "abcd"]
    found = [frozenset(features([text])[1].tolist()) for text in texts]
    assert len(set(found)) == 4


def test_words_are_plain():
    assert words("Don\u2019t @ann, it's HTTP://x.org/y 12 now!") == ["dont", "its", "http", "00", "now"]


@pytest.mark.parametrize("texts", [[], ["a"], ["a" * 200_000, "b", "c"], ["a"] * 5])
def test_batches_are_all_the_texts_in_order(texts):
    found = list(batches(texts))
    assert [text for _, batch in found for text in batch] == texts
    assert [start for start, _ in found] == [sum(len(b) for _, b in found[:n]) for n in range(len(found))]
