"""Where words begin and end, and what tags mark."""

import random

import pytest

from trivium.data.spans import scheme_of
from trivium.data.spans import spans as entities
from trivium.evaluation.metrics.entity_f1 import entity_counts
from trivium.lm.protocol import Span
from trivium.lm.words import cut_into_words, marked_spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(in Rome.)", ["(", "in", "Rome", ".", ")"]),
        ("I can't, e-mail me!?", ["I", "can't", ",", "e-mail", "me", "!", "?"]),
        ("the U.S. won", ["the", "U.S", ".", "won"]),
        ("@anna likes #art, #", ["@anna", "likes", "#art", ",", "#"]),
        ("@@anna", ["@", "@anna"]),
        ("  5 € \n or\t¥600 ", ["5", "€", "or", "¥", "600"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("...", [".", ".", "."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_a_text_is_cut(text, words):
    same, found, places = cut_into_words(text)
    assert same == text and found == words
    assert [text[start:end] for start, end in places] == words


def test_every_character_but_white_space_is_in_one_word():
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(draw.choice("ab.,@# \n'-é") for _ in range(draw.randrange(12)))
        _, _, places = cut_into_words(text)
        covered = [at for start, end in places for at in range(start, end)]
        assert covered == [at for at, letter in enumerate(text) if not letter.isspace()]


def test_words_that_are_given_stay_and_stand_apart_by_a_space():
    text, words, places = cut_into_words(("New York", "(", "is"))
    assert (text, words) == ("New York ( is", ["New York", "(", "is"])
    assert [text[start:end] for start, end in places] == words


@pytest.mark.parametrize(
    ("tags", "marked"),
    [
        (["B-a", "I-a", "O", "B-a"], [("a", "one two"), ("a", "four")]),
        (["B-a", "B-a", "I-b", "O"], [("a", "one"), ("a", "two")]),
        (["I-a", "I-a", "O", "O"], []),
        (["B-a", "I-b", "I-b", "I-a"], [("a", "one")]),
        (["O", "O", "O", "B-a-b"], [("a-b", "four")]),
        (["NOUN", "VERB", "O", "X"], []),
    ],
)
def test_what_tags_mark(tags, marked):
    text, _, places = cut_into_words("one two three four")
    spans = marked_spans(text, places, tags, scheme="iob2")
    assert [(span.label, span.text) for span in spans] == marked
    assert all(isinstance(span, Span) and text[span.start : span.end] == span.text for span in spans)


@pytest.mark.parametrize(
    ("tags", "marked"),
    [
        (["S-a", "B-b", "I-b", "E-b"], [("a", "one"), ("b", "two three four")]),
        (["B-a", "O", "S-a", "B-a"], [("a", "three")]),
        (["B-a", "E-a", "I-a", "E-a"], [("a", "one two")]),
        (["S-a", "E-a", "NOUN", "O"], [("a", "one")]),
    ],
)
def test_what_tags_mark_that_have_ends(tags, marked):
    text, _, places = cut_into_words("one two three four")
    spans = marked_spans(text, places, tags, scheme="iobes")
    assert [(span.label, span.text) for span in spans] == marked
    assert marked_spans(text, places, tags, scheme=None) == []


@pytest.mark.parametrize(("scheme", "letters"), [("iob2", "BI"), ("iobes", "BIES")])
def test_tags_are_read_as_they_are_measured(scheme, letters):
    draw = random.Random(1)
    text, _, places = cut_into_words("a b c d e f")
    first = [start for start, _ in places]
    labels = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "xy")]
    assert scheme_of(labels) == scheme
    for _ in range(300):
        tags = [draw.choice(labels) for _ in places]
        found = [
            (span.label, first.index(span.start), first.index(span.end - 1) + 1)
            for span in marked_spans(text, places, tags, scheme=scheme)
        ]
        assert found == entities(tags, scheme=scheme)
        counts = entity_counts([tags], [tags], scheme=scheme)
        assert counts.tolist() == [[len(found)] * 3]
