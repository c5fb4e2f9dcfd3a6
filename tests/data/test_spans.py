"""What the tags of a sentence spell, and what they do not."""

import pytest

from trivium.data.spans import is_tag, scheme_of, spans
from trivium.errors import DataError


def test_entities_that_are_not_spelt_out_are_none() -> None:
    assert spans(["I-PER", "B-PER", "I-LOC", "B-PER", "I-PER"]) == [("PER", 1, 2), ("PER", 3, 5)]
    assert spans(["B-PER", "I-PER", "S-LOC", "B-PER", "E-PER"], scheme="iobes") == [("LOC", 2, 3), ("PER", 3, 5)]


@pytest.mark.parametrize("tag", ["B", "O-PER", "", "BPER", "E-PER"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    assert not is_tag(tag, "iob2")
    with pytest.raises(DataError, match="none of the scheme iob2"):
        spans([tag])


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-a", "I-a"], "iob2"),
        (["O", "B-a", "I-a", "E-a", "S-a"], "iobes"),
        (["NOUN", "X", "O"], None),
        (["O", "I-a"], None),
    ],
)
def test_how_labels_mark_spans(labels: list[str], scheme: str | None) -> None:
    assert scheme_of(labels) == scheme
