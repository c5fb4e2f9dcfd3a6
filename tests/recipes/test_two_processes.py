"""Two processes train a task on a base as one does: the same losses at the same global batch."""

import json
import os
import pathlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.forked import in_child
from tests.recipes.bases import write_bert
from trivium.errors import ConfigError
from trivium.recipes.classification import ClassificationConfig, classification
from trivium.recipes.embedding import EmbeddingConfig, embedding
from trivium.recipes.question_answering import QuestionAnsweringConfig, question_answering
from trivium.recipes.tagging import TaggingConfig, tagging
from trivium.recipes.training import TrainingConfig
from trivium.training.run import Run

WORDS = ["rome", "oslo", "bern", "anna", "went", "home", "again", "to"]
OFTEN = TrainingConfig(log_every_steps=1, evaluate_every_steps=2, checkpoint_every_steps=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_bert(tmp_path_factory.mktemp("base") / "bert", [" ".join([*WORDS, "where", "?"])])


def texts() -> list[str]:
    return [" ".join(WORDS[(number * step) % 8] for step in range(1, 3 + number % 6)) for number in range(60)]


def classifying(folder: pathlib.Path, base: pathlib.Path, **how: Any) -> Run:
    rows = [f"{text},{'odd' if number % 2 else 'even'}\n" for number, text in enumerate(texts())]
    (folder / "data.csv").write_text("text,label\n" + "".join(rows))
    return classification(ClassificationConfig(data=folder / "data.csv", base=base, rows=7, training=OFTEN, **how))


def tags(folder: pathlib.Path, base: pathlib.Path, **how: Any) -> Run:
    sentences = ["".join(f"{word}\t{'B-x' if word in WORDS[:3] else 'O'}\n" for word in t.split()) for t in texts()]
    (folder / "data.conll").write_text("\n".join(sentences))
    return tagging(TaggingConfig(data=folder / "data.conll", base=base, rows=7, training=OFTEN, **how))


def answers(folder: pathlib.Path, base: pathlib.Path, **how: Any) -> Run:
    paragraphs = [
        {
            "context": text,
            "qas": [{"question": "where ?", "answers": [{"text": text.split()[0], "answer_start": 0}]}],
        }
        for text in texts()
    ]
    (folder / "data.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return question_answering(
        QuestionAnsweringConfig(data=folder / "data.json", base=base, rows=7, training=OFTEN, **how)
    )


def in_two_processes(work: Callable[[], object], tmp_path: pathlib.Path) -> None:
    """Runs ``work`` in two forked processes that find each other; both must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def member(rank: int) -> None:
        numbers = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
        os.environ.update({name: str(number) for name, number in numbers.items()} | {"MASTER_ADDR": "127.0.0.1"})
        work()

    (tmp_path / "second").mkdir(exist_ok=True)
    second = os.fork()
    if second == 0:
        code = 1
        try:
            code = in_child(lambda: member(1), tmp_path / "second")
        finally:
            os._exit(code)
    first = in_child(lambda: member(0), tmp_path)
    assert (first, os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])) == (0, 0)


@pytest.mark.parametrize("task", [classifying, tags, answers])
def test_two_processes_have_the_losses_of_one(task: Callable[..., Run], base: pathlib.Path, tmp_path: pathlib.Path):
    how: dict[str, Any] = {"steps": 4, "output": tmp_path}
    in_two_processes(lambda: task(tmp_path, base, run="two", **how), tmp_path)
    assert in_child(lambda: task(tmp_path, base, run="one", **how) and None, tmp_path) == 0
    rows = [Run.open(tmp_path / name).metrics() for name in ("one", "two")]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for name in ("loss", "validation_loss"):
        found = [[row[name] for row in some if row.get(name) is not None] for some in rows]
        assert found[0] and found[1] == pytest.approx(found[0], rel=1e-4), name
    assert (tmp_path / "two" / "report.html").is_file()


def test_vectors_are_learnt_in_one(base: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "texts.txt").write_text("\n".join(texts()))

    def refused() -> None:
        with pytest.raises(ConfigError, match=r"(?s)several processes cannot share.*start one"):
            embedding(EmbeddingConfig(data=tmp_path / "texts.txt", base=base, output=tmp_path, steps=2))

    in_two_processes(refused, tmp_path)
