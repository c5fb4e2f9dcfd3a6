"""``trivium.evaluate`` from folder and file to figures."""

import inspect
import json
import pathlib
from dataclasses import replace
from typing import Any

import pytest
import torch

import trivium
from trivium import tokenizers
from trivium.checkpoints.model_folder import save_folder
from trivium.data.shards import write_shards
from trivium.errors import ConfigError, DataError, StorageError, TokenizerError, Unsupported, UserError
from trivium.evaluation.tasks import TASKS
from trivium.models.bert import Bert, BertConfig
from trivium.models.bilm import BiLM, BiLMConfig
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


def test_perplexity_of_text(folder: pathlib.Path, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    (tmp_path / "texts").mkdir()
    for name in "ab":
        (tmp_path / "texts" / f"{name}.txt").write_text(TEXT)
    config = EvaluateConfig(model=folder, data=tmp_path / "texts", task="perplexity")
    result = trivium.evaluate(config)
    bits = trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "texts"))
    assert result["count"] == bits["count"] == 2 * len(TEXT)
    metrics = result["metrics"]
    assert metrics["bits_per_byte"] == pytest.approx(bits["metrics"]["bits_per_byte"])
    assert metrics["perplexity"] == metrics["character_perplexity"] == metrics["byte_perplexity"]
    assert metrics["word_perplexity"] > metrics["perplexity"]
    assert trivium.evaluate(replace(config, limit=1))["settings"]["documents"] == 1
    (tmp_path / "word.txt").write_text(TEXT.replace(" ", "").replace("\n", ""))
    one_word = trivium.evaluate(replace(config, data=tmp_path / "word.txt"))["metrics"]
    assert one_word["word_perplexity"] is None, "beyond fp64, and JSON has no infinity"
    write_shards(tmp_path / "shards", [([0, 1, 2], 3)], vocabulary_size=tokenizer.vocabulary_size)
    with pytest.raises(DataError, match="prepared data holds tokens"):
        trivium.evaluate(replace(config, data=tmp_path / "shards"))


@pytest.mark.parametrize("task", ["bits_per_byte", "perplexity"])
def test_a_model_of_two_directions_has_a_figure_for_each(task: str, tmp_path: pathlib.Path, tokenizer: Any) -> None:
    torch.manual_seed(1)
    network = BiLM(BiLMConfig(vocabulary_size=tokenizer.vocabulary_size, width=8, layers=1)).eval()
    torch.nn.init.normal_(network.head.weight)
    save_folder(tmp_path / "bilm", network, tokenizer=tokenizer)
    (tmp_path / "text.txt").write_text(TEXT[:60])
    config = EvaluateConfig(model=tmp_path / "bilm", data=tmp_path / "text.txt", task=task)
    result = trivium.evaluate(config)
    ids = torch.tensor([[tokenizer.bos_id, *tokenizer.encode(TEXT[:60])][:-1]])  # the last is no window's to read
    with torch.no_grad():
        output = network(ids, lengths=torch.tensor([60]), collect=("backward",))
        right = network.head.log_prob(output.hidden[0, :-1], ids[0, 1:]).mean()
        left = network.head.log_prob(output.collected["backward"][0][0, 1:], ids[0, :-1]).mean()
    figures = result["metrics"]
    assert figures["forward_perplexity"] == pytest.approx(float((-right).exp()), rel=1e-5)
    assert figures["backward_perplexity"] == pytest.approx(float((-left).exp()), rel=1e-5)
    assert right != left and "perplexity" not in figures and "bits_per_byte" not in figures
    assert result["count"] == 59
    windows = trivium.evaluate(replace(config, context_tokens=20))
    assert windows["count"] == 57 and windows["metrics"] != figures
    with pytest.raises(ConfigError, match="leave stride_tokens out"):
        trivium.evaluate(replace(config, stride_tokens=4))


def test_a_masked_model_has_pseudo_perplexity(tmp_path: pathlib.Path, tokenizer: Any) -> None:
    masks = tokenizers.train([TEXT], kind="wordpiece", vocabulary_size=60)
    shape = {"width": 8, "layers": 1, "heads": 1, "inner_width": 8, "context_tokens": 16}
    save_folder(tmp_path / "bert", Bert(BertConfig(vocabulary_size=masks.vocabulary_size, **shape)), tokenizer=masks)
    (tmp_path / "text.txt").write_text(TEXT[:86])
    config = EvaluateConfig(model=tmp_path / "bert", data=tmp_path / "text.txt", task="perplexity")
    result = trivium.evaluate(config)
    assert result["metrics"]["pseudo_perplexity"] == pytest.approx(masks.vocabulary_size, rel=0.2)
    assert "context_tokens" not in result["settings"]
    with pytest.raises(ConfigError, match="windows of its own size"):
        trivium.evaluate(replace(config, context_tokens=8))
    (tmp_path / "sst2.jsonl").write_text('{"sentence": "to be", "label": 1}\n')
    asked = trivium.evaluate(replace(config, data=tmp_path / "sst2.jsonl", task="sst2"))
    assert (asked["count"], asked["settings"]["scoring"]) == (1, "pseudo")


def test_a_task_is_asked_and_its_answers_are_written_down(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = [{"sentence": f"to be number {number % 3}", "label": number % 2} for number in range(12)]
    (tmp_path / "dev.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    answers, output = tmp_path / "answers.jsonl", tmp_path / "result.json"
    config = EvaluateConfig(
        model=folder, data=tmp_path / "dev.jsonl", task="cola", limit=10, shots=2, answers=answers, output=output
    )
    result = trivium.evaluate(config)
    assert (result["task"], result["count"]) == ("cola", 10)
    assert set(result["metrics"]) == set(result["intervals"]) == {"mcc", "acc"}
    low, high = result["intervals"]["acc"]
    assert 0 <= low <= result["metrics"]["acc"] <= high <= 1
    assert (result["settings"]["shots"], result["settings"]["shots_seed"]) == (2, 1234)
    assert json.loads(output.read_text()) == result
    written = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [one["target"] for one in written] == [row["label"] for row in rows[:10]]
    assert all(len(one["log_probs"]) == 2 for one in written)
    assert trivium.evaluate(config) == result


def test_a_written_answer_says_how_long_it_may_be(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "svamp.json").write_text('[{"Body": "to be", "Question": "or not?", "Answer": 1.0}]')
    result = trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path / "svamp.json", task="svamp"))
    assert result["settings"]["max_new_tokens"] == 16, "the model holds 32"
    assert result["metrics"] == {"exact_match_flexible": 0.0}
    assert result["intervals"] == {}


def test_what_cannot_be_asked(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"no such task[\s\S]*bits_per_byte[\s\S]*did you mean cola"):
        EvaluateConfig(model=folder, data=tmp_path, task="colla")
    with pytest.raises(ConfigError, match=r"nothing to measure on[\s\S]*columns sentence, label"):
        EvaluateConfig(model=folder, task="cola")
    with pytest.raises(ConfigError, match="nothing to measure on"):
        EvaluateConfig(model=folder)
    with pytest.raises(ConfigError, match="shots means nothing for perplexity"):
        EvaluateConfig(model=folder, data=tmp_path, task="perplexity", shots=2)
    with pytest.raises(ConfigError, match="context_tokens means nothing for cola"):
        EvaluateConfig(model=folder, data=tmp_path, task="cola", context_tokens=2)
    with pytest.raises(StorageError, match="no folder to write this file to"):
        trivium.evaluate(EvaluateConfig(model=folder, data=tmp_path, task="cola", answers=tmp_path / "no" / "a.jsonl"))
    with pytest.raises(ConfigError, match="limit is too small"):
        EvaluateConfig(model=folder, data=tmp_path, task="cola", limit=0)


def test_the_help_names_every_task() -> None:
    assert all(name in inspect.getsource(EvaluateConfig) for name in TASKS)
