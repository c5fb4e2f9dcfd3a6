"""Embedding through its recipe: what belongs together comes near, and the folder says how texts are embedded."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.bases import write_bert, write_t5
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.checkpoints.folder import verify_folder
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.embedding import EmbeddingFacts, sentence_facts
from trivium.recipes.embedding import embedding, share_out_sentences
from trivium.recipes.embedding_config import EmbeddingConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig

PAIRED = [("dog", "hound"), ("car", "auto"), ("film", "movie"), ("town", "city"), ("sea", "ocean"), ("shop", "store")]
OTHERS = ["the", "old", "red", "big"]


def sentence(word: str, chance: random.Random) -> str:
    return " ".join([chance.choice(OTHERS), word, chance.choice(OTHERS)])


def write_pairs(path: pathlib.Path, count: int = 200) -> pathlib.Path:
    """Texts that belong together have no word in common but by chance: one says dog and the other hound."""
    chance = random.Random(0)
    chosen = [chance.choice(PAIRED) for _ in range(count)]
    records = [{"text": sentence(one, chance), "other": sentence(two, chance)} for one, two in chosen]
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def write_scored(path: pathlib.Path) -> pathlib.Path:
    chance = random.Random(1)
    rows = ["sentence1\tsentence2\tscore"]
    for one, two in PAIRED:
        wrong = chance.choice([other for _, other in PAIRED if other != two])
        rows += [
            f"{sentence(one, chance)}\t{sentence(other, chance)}\t{score}" for other, score in ((two, 5), (wrong, 0))
        ]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    texts = [" ".join([*OTHERS, *(word for pair in PAIRED for word in pair)])]
    return write_bert(tmp_path_factory.mktemp("base") / "bert", texts, context_tokens=12)


@pytest.fixture
def config(base: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., EmbeddingConfig]:
    def make(**changes: Any) -> EmbeddingConfig:
        settings: dict[str, Any] = {
            "data": write_pairs(tmp_path / "pairs.jsonl"),
            "base": base,
            "output": tmp_path,
            "rows": 12,
            "optimiser": OptimiserConfig(learning_rate=5e-3, weight_decay=0.0),
            "steps": 40,
            "training": TrainingConfig(evaluate_every_steps=40, checkpoint_every_steps=40),
        }
        return EmbeddingConfig(**settings | changes)

    return make


def test_pairs_come_near_and_the_folder_says_how(config: Callable[..., EmbeddingConfig], tmp_path: pathlib.Path):
    run = embedding(config(second_field="other", scored=write_scored(tmp_path / "scored.tsv"), dropout=0.0))
    model = trivium.load(run.folder)
    assert model.purpose == "embedding" and model.network.head is None
    ours = model.embed([f"the {one} old" for one, _ in PAIRED])
    theirs = model.embed([f"big {two} red" for _, two in PAIRED])
    assert ((ours @ theirs.T).argmax(1) == trivium.load(run.folder).embed(["a"]).new_tensor(range(6))).sum() >= 5
    page = run.report.read_text("utf-8")
    assert "spearman" in page and "12 that it was not trained on" in page
    folder = run.checkpoints / "best"
    verify_folder(folder)
    assert sentence_facts(folder) == EmbeddingFacts(pooling="mean", context_tokens=12)
    assert EmbeddingFacts.of(json.loads((folder / "trivium.json").read_text())) == sentence_facts(folder)


def test_single_texts_are_told_apart_by_dropout(config: Callable[..., EmbeddingConfig], base: pathlib.Path):
    run = embedding(config(steps=None, epochs=2.0, pooling="first"))
    assert run.config["steps"] == run.metrics()[-1]["step"] > 2
    model = trivium.load(run.folder)
    assert model.config.dropout == 0.1 and trivium.load(base).config.dropout == 0.0
    assert sentence_facts(run.checkpoints / "best").pooling == "first"


def test_no_text_is_trained_on_twice(config: Callable[..., EmbeddingConfig], tmp_path: pathlib.Path):
    (tmp_path / "t.txt").write_text("a b\n" * 5 + "c d\ne f\n")
    training, held_out = share_out_sentences(config(data=tmp_path / "t.txt"))
    assert sorted(one.text for one in training + held_out) == ["a b", "c d", "e f"]


def test_a_resumed_run_is_the_run_that_never_stopped(
    config: Callable[..., EmbeddingConfig], monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    made = config(steps=9, training=often)
    settings = {"data": made.data, "steps": 9, "training": often}
    assert_resumes_bit_for_bit(lambda **how: embedding(config(**settings, **how)), monkeypatch)


def test_what_cannot_be_is_refused(config: Callable[..., EmbeddingConfig], tmp_path: pathlib.Path):
    for changes, message in (
        ({"dropout": 0.0}, "two readings of a text are one"),
        ({"negative_field": "x"}, "name second_field too"),
        ({"rows": 1}, "rows must be at least 2"),
        ({"temperature": 0.0}, "temperature"),
        ({"training": TrainingConfig(micro_batches=2)}, "cannot be cut"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(**changes)
    with pytest.raises(Unsupported, match="by an encoder"):
        embedding(config(base=write_t5(tmp_path / "t5", ["a b"])))
    (tmp_path / "one.txt").write_text("a b\n")
    with pytest.raises(DataError, match="too few different texts"):
        embedding(config(data=tmp_path / "one.txt"))
    (tmp_path / "s.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\t1\n")
    with pytest.raises(DataError, match="all scores are equal"):
        embedding(config(scored=tmp_path / "s.tsv"))
    assert not (tmp_path / "embedding").exists()
