"""Cleaning, deduplication, splitting and sentences."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.cleaning import clean
from trivium.data.dedup import remove_duplicates
from trivium.data.documents import Document
from trivium.data.sentences import first_sentence
from trivium.data.splits import Split, is_held_out, remove_leaks, split, split_by_group
from trivium.errors import DataError


def document(text: str, group: str = "g", identifier: str = "d") -> Document:
    return Document(id=identifier, text=text, origin="test", kind="text", group=group)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x0bd\u2028e", "a\nb\nc\nd\ne"),
        ("e\u0301", "é"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\x00b\x1b[0m\ufeffc\u200b\u00add", "ab[0mcd"),
        ("\n\n    indented   \n\tand so on\t\n\n", "    indented\n\tand so on"),
        ("a" + "\n" * 9 + "b", "a\n\n\nb"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("x\u200dy \u0645\u200c\u0646", "x\u200dy \u0645\u200c\u0646"),
        ("    ", ""),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(alphabet=st.characters() | st.sampled_from("\n\r\t \u00a0\u0301\ufeff\ud800")))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(c) == "Cc" for c in once if c not in "\n\t")
    once.encode("utf-8")


def test_duplicates_differ_in_case_and_white_space_only() -> None:
    documents = [document(text, identifier=text) for text in ("A  b", "a b", "ab", "a\nB", "a c")]
    kept, removed = remove_duplicates(documents)
    assert [d.id for d in kept] == ["A  b", "ab", "a c"]
    assert [(d.document.id, d.of) for d in removed] == [("a b", "A  b"), ("a\nB", "A  b")]


def test_a_group_is_never_on_both_sides_and_does_not_move() -> None:
    documents = [document(f"text {n} " * 5, group=f"module{n % 200}") for n in range(1000)]
    first = split_by_group(documents, 0.1)
    train, validation = ({d.group for d in side} for side in (first.train, first.validation))
    assert not train & validation
    assert 8 <= len(validation) <= 35
    again = split_by_group([*documents, document("more", group="other")], 0.1)
    assert {d.group for d in again.validation} - {"other"} == validation
    assert all(is_held_out(group, 0.2) for group in validation)
    # A fixed outcome: the same on every machine, Python and release.
    assert [n for n in range(200) if is_held_out(f"module{n}", 0.05)] == [5, 15, 22, 45, 51, 104, 115, 127, 185]


def test_few_groups_are_split_by_their_tails() -> None:
    text = "".join(f"line {n}\n" for n in range(1000))
    result = split([document(text)], 0.1)
    assert result.by == "tail"
    assert result.train[0].text + result.validation[0].text == text
    assert len(result.train[0].text) == int(len(text) * 0.9)
    many = [document(f"text {n}", group=str(n)) for n in range(500)]
    assert split(many, 0.1).by == "group"
    with pytest.raises(DataError, match="too little text to hold any out"):
        split([document("a")], 0.1)
    with pytest.raises(DataError, match="too little text"):
        split([], 0.1)


def test_near_duplicates_leave_validation() -> None:
    words = [f"w{n}" for n in range(100)]
    train = [document(" ".join(words)), document("short one here")]
    copied = document("Preface! " + ", ".join(words[10:60]).upper(), identifier="copied")
    half = document(" ".join(words[:30] + [f"new{n}" for n in range(40)]), identifier="half")
    own = document(" ".join(f"own{n}" for n in range(50)), identifier="own")
    shuffled = document(" ".join(words[::-1]), identifier="shuffled")
    brief = document("Short, one here.", identifier="brief")
    sides = Split(train=train, validation=[copied, half, own, shuffled, brief], by="group")
    kept, removed = remove_leaks(sides)
    assert [d.id for d in kept.validation] == ["half", "own", "shuffled"]
    assert {d.id: round(share, 2) for d, share in removed} == {"copied": round(50 / 51, 2), "brief": 1.0}
    kept, removed = remove_leaks(sides, threshold=0.4)
    assert [d.id for d, _ in removed] == ["copied", "half", "brief"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Return it. Then go.", "Return it."),
        ("Return a thing, e.g. a list, i.e. this one. Not that.", "Return a thing, e.g. a list, i.e. this one."),
        ("Use e.g. Python for it. Yes.", "Use e.g. Python for it."),
        ("Version 3.14 of os.path is used. Next.", "Version 3.14 of os.path is used."),
        ("No full stop\nover two lines\n\nNext paragraph.", "No full stop over two lines"),
        ("Is it? Yes.", "Is it?"),
        ('Say "hello." Then leave.', 'Say "hello."'),
        ("By J. Smith et al. in 1999. More.", "By J. Smith et al. in 1999."),
        ("Wait ... Then go. End.", "Wait ... Then go."),
        ("Read __init__.py. `x` is next.", "Read __init__.py."),
        ("", ""),
    ],
)
def test_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
