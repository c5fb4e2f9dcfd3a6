"""What each language costs in tokens."""

import pytest

from trivium import tokenizers
from trivium.tokenizers.fertility import NOTE, Fertility, as_html, as_table, fertility


def test_counts_are_exact() -> None:
    tokenizer = tokenizers.train(["a b b"], kind="word", minimum_count=1)
    rows = fertility(tokenizer, [("x", "a "), ("empty", ""), ("x", "b ü")])
    assert rows[0] == Fertility(language="x", words=3, characters=5, bytes=6, tokens=3, unknown=1)
    assert rows[0].row() == {
        "language": "x",
        "words": 3,
        "characters": 5,
        "bytes": 6,
        "tokens": 3,
        "unknown": 1,
        "tokens_per_word": 1.0,
        "tokens_per_character": pytest.approx(3 / 5),
        "tokens_per_byte": 0.5,
        "bytes_per_token": 2.0,
        "unknown_share": pytest.approx(1 / 3),
    }
    assert rows[1].tokens_per_word == rows[1].bytes_per_token == rows[1].unknown_share == 0


def test_english_is_cheapest_for_gpt2(shared_data, language_texts) -> None:
    gpt2 = tokenizers.load(shared_data / "tokenizers" / "gpt2")
    rows = {row.language: row for row in fertility(gpt2, language_texts.items())}
    assert len(rows) == len(language_texts) >= 20
    spaced = [row for row in rows.values() if row.tokens_per_word is not None]
    assert {row.language for row in rows.values()} - {row.language for row in spaced} >= {
        "cmn_hans",
        "jpn",
        "tha",
        "lao",
    }
    assert min(spaced, key=lambda row: row.tokens_per_word).language == "eng"
    assert rows["eng"].tokens_per_word < 1.5 < rows["deu"].tokens_per_word < rows["tam"].tokens_per_word
    assert all(row.unknown == 0 for row in rows.values())


def test_unknown_words_are_counted_for_bert(shared_data, language_texts) -> None:
    bert = tokenizers.load(shared_data / "tokenizers/bert/bert-base-cased-vocab.txt")
    rows = {row.language: row for row in fertility(bert, language_texts.items())}
    assert rows["eng"].unknown == 0 and rows["amh"].unknown_share > 0.5
    assert [row.bytes_per_token for row in rows.values()] == sorted(
        (row.bytes_per_token for row in rows.values()), reverse=True
    )


def test_long_texts_are_cut_at_line_ends_and_no_further_than_asked() -> None:
    tokenizer = tokenizers.train(["one two three"] * 3, kind="word", minimum_count=1)
    text = "one two four\n" * 20_000
    (whole,) = fertility(tokenizer, [("x", text)])
    assert (whole.words, whole.tokens, whole.unknown, whole.characters) == (60_000, 60_000, 20_000, 260_000)
    (some,) = fertility(tokenizer, [("x", text), ("x", text)], characters_each=130)
    assert (some.characters, some.words) == (130, 30)


def test_tables_for_people() -> None:
    tokenizer = tokenizers.train(["a b <b>"], kind="word", minimum_count=1)
    rows = fertility(tokenizer, [("<x>", "a b ü"), ("zho", "世" * 40)])
    table = as_table(rows)
    assert table.endswith(NOTE) and len({len(line) for line in table.split("\n")[:3]}) == 1
    assert [line.split()[:2] for line in table.split("\n")[1:3]] == [["zho", "-"], ["<x>", "1.00"]]
    page = as_html(rows)
    assert "&lt;x&gt;" in page and "<x>" not in page and "<td>-</td>" in page and NOTE in page
