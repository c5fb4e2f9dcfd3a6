"""Texts to embed, from the forms they come in."""

import json
import pathlib

import pytest

from trivium.data.sentence_pairs import Sentences, read_sentences
from trivium.errors import DataError


def test_a_text_a_line(tmp_path: pathlib.Path):
    (tmp_path / "a.txt").write_text("one \n\ntwo\u2028three\n")
    assert read_sentences(tmp_path / "a.txt") == [Sentences(text="one"), Sentences(text="two\u2028three")]


def test_records(tmp_path: pathlib.Path):
    record = {"sentence1": "a", "sentence2": "b", "other": "c"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    assert read_sentences(tmp_path / "a.jsonl") == [Sentences(text="a")]
    found = read_sentences(tmp_path / "a.jsonl", second_field="sentence2", negative_field="other")
    assert found == [Sentences(text="a", second="b", negative="c")]


def test_what_cannot_be_read_is_told(tmp_path: pathlib.Path):
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(DataError, match="a text has no fields"):
        read_sentences(tmp_path / "a.txt", second_field="b")
    (tmp_path / "b.tsv").write_text("text\n")
    with pytest.raises(DataError, match="no texts"):
        read_sentences(tmp_path / "b.tsv")
    (tmp_path / "c.jsonl").write_text('{"text": 3}')
    with pytest.raises(DataError, match="holds no text"):
        read_sentences(tmp_path / "c.jsonl")
