"""Rehearsal: examples and texts, whole texts in windows."""

import pathlib

import pytest

from tests.recipes.texts import write_notes, write_pairs
from trivium import tokenizers
from trivium.errors import ConfigError, DataError
from trivium.lm.local import LocalModel
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.recipes.rehearsal import RehearsalConfig, old_examples, text_examples

CONTEXT = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    notes = write_notes(tmp_path_factory.mktemp("notes"), 4)
    texts = [path.read_text() for path in notes.iterdir()]
    tokenizer = tokenizers.train(texts, kind="byte_bpe", vocabulary_size=300)
    size = tokenizer.vocabulary_size
    return LocalModel(GPT2(GPT2Config(vocabulary_size=size, width=16, layers=1, heads=2)), tokenizer)


def test_texts_in_windows_train_every_token_once(model: LocalModel) -> None:
    tokenizer = model.tokenizer
    text = "the model reads a text and writes what comes next because every word follows another word in its place"
    for context in (5, 7, 1000):
        examples = text_examples([text, "short"], tokenizer, context)
        assert all(1 < len(example.ids) <= context + 1 for example in examples)
        assert not any(example.trained[0] for example in examples)
        trained = [id for e in examples for id, mark in zip(e.ids, e.trained, strict=True) if mark]
        wanted = []
        for each in (text, "short"):
            ids = [*tokenizer.prefix_ids, *tokenizer.encode(each), tokenizer.eos_id]
            begin = tokenizer.prefix_ids or [i for i in (tokenizer.bos_id,) if i is not None]
            wanted += ids[max(1, len(tokenizer.prefix_ids)) :] if tokenizer.prefix_ids or not begin else ids
        assert trained == wanted


def test_files_of_examples_and_of_text_are_told_apart(model: LocalModel, tmp_path: pathlib.Path) -> None:
    pairs, notes = write_pairs(tmp_path / "old.jsonl", 6), write_notes(tmp_path / "notes", 2)
    ask = {"prompt_format": "plain", "context_tokens": CONTEXT}
    of_pairs = old_examples(RehearsalConfig(share=0.1, data=(pairs,)), model, **ask)
    assert len(of_pairs) == 6 and all(sum(e.trained) < len(e.ids) - 1 for e in of_pairs)
    of_text = old_examples(RehearsalConfig(share=0.1, data=(notes,), text_bytes=3000), model, **ask)
    assert all(len(e.ids) <= CONTEXT + 1 for e in of_text)
    assert 0.5 < 3000 / len(model.tokenizer.decode([i for e in of_text for i in e.ids])) < 1.2
    both = old_examples(RehearsalConfig(share=0.1, data=(pairs, notes), text_bytes=3000), model, **ask)
    assert len(both) == len(of_pairs) + len(of_text)


def test_refused(model: LocalModel, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="at least 0 and below 1"):
        RehearsalConfig(share=1.0)
    with pytest.raises(ConfigError, match="none of it is"):
        RehearsalConfig(data=(tmp_path,))
    pairs = write_pairs(tmp_path / "old.jsonl", 3)
    with pytest.raises(DataError, match="nothing to rehearse"):
        old_examples(RehearsalConfig(share=0.1, data=(pairs,)), model, prompt_format="plain", context_tokens=2)
