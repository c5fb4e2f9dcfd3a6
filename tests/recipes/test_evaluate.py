"""``trivium.evaluate`` from folder and file to figures."""

import json
import pathlib
from typing import Any

import pytest
import torch

import trivium
from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.data.shards import write_shards
from trivium.errors import ConfigError, TokenizerError, Unsupported, UserError
from trivium.models.bert import Bert, BertConfig
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.recipes.evaluate import EvaluateConfig

TEXT = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer.\n" * 4


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokenizers.train([TEXT], kind="character")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> pathlib.Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("evaluate") / "model"
    shape = {"width": 16, "layers": 1, "heads": 2, "context_tokens": 32}
    save_folder(path, GPT2(GPT2Config(vocabulary_size=tokenizer.vocabulary_size, **shape)), tokenizer=tokenizer)
    return path


def test_a_text_file_is_scored_whole(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    output = tmp_path / "result.json"
    result = trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "text.txt", output=output))
    assert result["task"] == "bits_per_byte"
    assert result["count"] == result["settings"]["bytes"] == len(TEXT), "one character is one token is one byte"
    metrics = result["metrics"]
    # A fresh model is almost uniform over its vocabulary.
    assert metrics["perplexity"] == pytest.approx(trivium.load(folder).config.vocabulary_size, rel=0.1)
    assert metrics["bits_per_byte"] == pytest.approx(metrics["loss"] / 0.6931471805599453)
    assert (result["settings"]["context_tokens"], result["settings"]["stride_tokens"]) == (32, 16)
    assert json.loads(output.read_text()) == result


def test_a_folder_of_text_and_prepared_shards(folder: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(TEXT)
    (tmp_path / "texts" / "b.txt").write_text(TEXT[:50])
    from_text = trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "texts"))
    assert (from_text["count"], from_text["settings"]["documents"]) == (len(TEXT) + 50, 2)
    documents = [([tokenizer.bos_id, *tokenizer.encode(text)], len(text)) for text in (TEXT, TEXT[:50])]
    write_shards(tmp_path / "prepared" / "validation", documents, vocabulary_size=tokenizer.vocabulary_size)
    from_shards = trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "prepared"))
    assert from_shards["metrics"]["loss"] == pytest.approx(from_text["metrics"]["loss"], rel=1e-6)


def test_what_cannot_be_measured(folder: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    with pytest.raises(ConfigError, match="stride_tokens is too small"):
        EvaluateConfig(model=folder, data=tmp_path, stride_tokens=0)
    with pytest.raises(UserError, match="no such"):
        trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "nothing.txt"))
    write_shards(tmp_path / "other", [([1, 2, 3], 3)], vocabulary_size=tokenizer.vocabulary_size + 1)
    with pytest.raises(TokenizerError, match="prepared with another vocabulary"):
        trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "other"))
    shape = {"width": 8, "layers": 1, "heads": 1, "inner_width": 8}
    masked = Bert(BertConfig(vocabulary_size=tokenizer.vocabulary_size, **shape))
    save_folder(tmp_path / "bert", masked, tokenizer=tokenizer)
    with pytest.raises(Unsupported, match="reads from left to right"):
        trivium.evaluate(EvaluateConfig(model=tmp_path / "bert", data=tmp_path / "text.txt"))
    save_folder(tmp_path / "bare", GPT2(GPT2Config(vocabulary_size=40, width=8, layers=1, heads=1)))
    with pytest.raises(Unsupported, match="the model has no tokenizer"):
        trivium.evaluate(EvaluateConfig(model=tmp_path / "bare", data=tmp_path / "text.txt"))
