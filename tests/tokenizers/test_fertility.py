"""What each language costs in tokens."""

import pytest

from trivium import tokenizers
from trivium.tokenizers.fertility import Fertility, fertility


def test_counts_are_exact() -> None:
    tokenizer = tokenizers.train(["a b b"], kind="word", minimum_count=1)
    rows = fertility(tokenizer, {"x": "a b ü", "empty": ""})
    assert rows[0] == Fertility(language="x", words=3, characters=5, bytes=6, tokens=3, unknown=1)
    assert rows[0].row() == {
        "language": "x",
        "words": 3,
        "characters": 5,
        "bytes": 6,
        "tokens": 3,
        "unknown": 1,
        "tokens_per_word": 1.0,
        "bytes_per_token": 2.0,
        "characters_per_token": pytest.approx(5 / 3),
        "unknown_share": pytest.approx(1 / 3),
    }
    assert rows[1].tokens_per_word == rows[1].bytes_per_token == rows[1].unknown_share == 0


def test_english_is_cheapest_for_gpt2(shared_data, language_texts) -> None:
    gpt2 = tokenizers.load(shared_data / "tokenizers" / "gpt2")
    rows = {row.language: row for row in fertility(gpt2, language_texts)}
    assert len(rows) == len(language_texts) >= 20
    assert min(rows.values(), key=lambda row: row.tokens_per_word).language == "eng"
    assert rows["eng"].tokens_per_word < 1.5 < rows["deu"].tokens_per_word < rows["tam"].tokens_per_word
    assert all(row.unknown == 0 for row in rows.values())


def test_unknown_words_are_counted_for_bert(shared_data, language_texts) -> None:
    bert = tokenizers.load(shared_data / "tokenizers/bert/bert-base-cased-vocab.txt")
    rows = {row.language: row for row in fertility(bert, language_texts)}
    assert rows["eng"].unknown == 0 and rows["amh"].unknown_share > 0.5
    assert [row.bytes_per_token for row in rows.values()] == sorted(
        (row.bytes_per_token for row in rows.values()), reverse=True
    )
