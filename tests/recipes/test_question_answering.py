"""Question answering through its recipe: on a base, from nothing and by a BiLSTM; what cannot be is refused in time."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.bases import write_bert
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.errors import ConfigError, DataError, Unsupported, UserError
from trivium.recipes.answerer import AnswererConfig
from trivium.recipes.question_answering import (
    QuestionAnsweringConfig,
    QuestionVocabularyConfig,
    question_answering,
    share_out_questions,
)
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig

TOWNS = ["rome", "oslo", "bern", "lima"]
OTHERS = ["she", "went", "home", "to", "again", "and"]


def write_questions(path: pathlib.Path, count: int = 120) -> pathlib.Path:
    """The answer is the only town of a text of common words; some texts name none."""
    chance = random.Random(0)
    paragraphs = []
    for number in range(count):
        words = [chance.choice(OTHERS) for _ in range(chance.randint(6, 10))]
        asked: dict[str, Any] = {"id": f"q{number}", "question": "what town ?", "answers": []}
        if number % 5:
            town = chance.choice(TOWNS)
            words.insert(chance.randrange(len(words)), town)
            asked["answers"] = [{"text": town, "answer_start": " ".join(words).index(town)}]
        paragraphs.append({"context": " ".join(words), "qas": [asked]})
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_questions(tmp_path_factory.mktemp("questions") / "questions.json")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    texts = [" ".join([*TOWNS, *OTHERS, "what", "town", "?"])]
    return write_bert(tmp_path_factory.mktemp("base") / "bert", texts, context_tokens=14)


@pytest.fixture
def config(data: pathlib.Path, base: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., QuestionAnsweringConfig]:
    def make(**changes: Any) -> QuestionAnsweringConfig:
        settings: dict[str, Any] = {
            "data": data,
            "base": base,
            "output": tmp_path,
            "rows": 16,
            "optimiser": OptimiserConfig(learning_rate=5e-3, beta2=0.99, weight_decay=0.0),
            "steps": 50,
            "training": TrainingConfig(evaluate_every_steps=50, checkpoint_every_steps=50),
        }
        return QuestionAnsweringConfig(**settings | changes)

    return make


NEW = {
    "base": None,
    "vocabulary": QuestionVocabularyConfig(size=300),
    "model": AnswererConfig(width=32, layers=1, dropout=0.0),
}


@pytest.mark.parametrize("changes", [{}, NEW], ids=["base", "bilstm"])
def test_the_place_of_an_answer_is_learnt(
    changes: dict[str, Any], config: Callable[..., QuestionAnsweringConfig], base: pathlib.Path
):
    run = question_answering(config(**changes))
    model = trivium.load(run.folder)
    assert model.purpose == "answering"
    found = [model.answer("what town ?", f"she went to {town} again and again").text for town in TOWNS]
    assert sum(given == town for given, town in zip(found, TOWNS, strict=True)) >= 3
    told = json.loads((run.checkpoints / "best" / "trivium.json").read_text())
    assert told["objective"] == "answering" and told["windows"] >= told["questions"]
    assert told.get("parent") == (None if changes else str(base))
    assert "exact match" in run.report.read_text("utf-8")


def test_no_text_is_on_both_sides(config: Callable[..., QuestionAnsweringConfig], data: pathlib.Path):
    training, held_out = share_out_questions(config())
    assert len(training) + len(held_out) == 120 and held_out
    assert {one.context for one in training}.isdisjoint(one.context for one in held_out)
    with pytest.raises(DataError, match="too few different texts"):
        share_out_questions(config(validation=data))


def test_a_resumed_run_is_the_run_that_never_stopped(
    config: Callable[..., QuestionAnsweringConfig], monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    shape = {"steps": 9, "rows": 4, "training": often, "fresh": True}
    assert_resumes_bit_for_bit(lambda **how: question_answering(config(**shape, **how)), monkeypatch)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"fresh": True, "base": None}, ConfigError, "fresh draws"),
        ({"model": AnswererConfig(width=8)}, ConfigError, "the model of the base"),
        ({"base": None, "model": AnswererConfig(architecture="text_cnn")}, Unsupported, r"(?s)head for spans.*bert"),
        ({"base": None, "model": AnswererConfig(heads=2)}, ConfigError, "bilstm has no heads"),
        ({"base": None, "model": AnswererConfig(width=33)}, ConfigError, "both directions together"),
        ({"base": None, "model": AnswererConfig(dropout=1.0)}, ConfigError, "dropout must be"),
        ({"stride_tokens": 0}, ConfigError, "stride_tokens must be"),
        ({"context_tokens": 4}, ConfigError, "context_tokens must be"),
        ({"epochs": 0.0}, ConfigError, "epochs must be"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(
    changes: dict[str, Any], error: type, message: str, config: Callable[..., QuestionAnsweringConfig]
):
    with pytest.raises(error, match=message):
        config(**changes)


def test_data_that_cannot_be_used_leaves_no_run(config: Callable[..., QuestionAnsweringConfig], tmp_path: pathlib.Path):
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError, match="no list `data`"):
        question_answering(config(data=tmp_path / "bad.json"))
    assert not (tmp_path / "question_answering").exists()
