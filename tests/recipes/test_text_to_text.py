"""Text to text through its recipe: on a base and from nothing, with a prefix, from every form of pairs."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest

import trivium
from tests.recipes.bases import write_bert, write_t5
from tests.recipes.resuming import assert_resumes_bit_for_bit
from trivium.errors import ConfigError, DataError, Unsupported, UserError
from trivium.recipes.text_to_text import share_out_texts, text_to_text
from trivium.recipes.text_to_text_config import TextToTextConfig
from trivium.recipes.training import TrainingConfig
from trivium.recipes.translation import SharedVocabularyConfig
from trivium.recipes.translator import TranslatorConfig
from trivium.training.optimisers import OptimiserConfig

WORDS = ["dog", "cat", "cow", "hen"]
OTHERS = ["the", "old", "red"]


def write_texts(path: pathlib.Path, count: int = 200) -> pathlib.Path:
    """The summary of a text is the animal in it."""
    chance = random.Random(0)
    lines = []
    for number in range(count):
        words = [chance.choice(OTHERS) for _ in range(chance.randint(3, 5))]
        animal = WORDS[number % len(WORDS)]
        words.insert(chance.randrange(len(words)), animal)
        lines.append(json.dumps({"source": " ".join(words), "target": [animal]}))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_t5(tmp_path_factory.mktemp("base") / "t5", [" ".join(["sum", ":", *WORDS, *OTHERS])])


@pytest.fixture
def config(data: pathlib.Path, base: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., TextToTextConfig]:
    def make(**changes: Any) -> TextToTextConfig:
        settings: dict[str, Any] = {
            "data": data,
            "base": base,
            "output": tmp_path,
            "task": "summarisation",
            "prefix": "sum : ",
            "rows": 16,
            "source_tokens": 16,
            "target_tokens": 6,
            "beams": 1,
            "optimiser": OptimiserConfig(learning_rate=1e-2, weight_decay=0.0),
            "steps": 60,
            "training": TrainingConfig(evaluate_every_steps=60, checkpoint_every_steps=60),
        }
        return TextToTextConfig(**settings | changes)

    return make


def test_a_base_learns_what_the_prefix_asks_for(config: Callable[..., TextToTextConfig], base: pathlib.Path):
    run = text_to_text(config())
    model = trivium.load(run.folder)
    assert model.purpose == "summarisation"
    found = model.generate([f"sum : the {word} old" for word in WORDS], max_new_tokens=4)
    assert sum(one.text == word for one, word in zip(found, WORDS, strict=True)) >= 3
    told = json.loads((run.checkpoints / "best" / "trivium.json").read_text())
    assert (told["objective"], told["prefix"], told["parent"]) == ("summarisation", "sum : ", str(base))
    assert model.generation["max_new_tokens"] == 6
    page = run.report.read_text("utf-8")
    assert "rouge1" in page and "What it translates" in page


@pytest.mark.parametrize("name", ["bart", "transformer"])
def test_a_new_network_is_trained(name: str, config: Callable[..., TextToTextConfig]):
    shape = TranslatorConfig(architecture=name, width=16, layers=1)
    vocabulary = SharedVocabularyConfig(kind="word", size=40)
    run = text_to_text(config(base=None, model=shape, vocabulary=vocabulary, steps=2, task="translation", prefix=""))
    model = trivium.load(run.folder)
    assert model.purpose == "translation" and model.architecture.name == name
    assert "bleu" in run.report.read_text("utf-8") and run.metrics()[-1]["validation_loss"] is not None


def test_fresh_is_the_shape_of_the_base(config: Callable[..., TextToTextConfig], base: pathlib.Path):
    runs = [text_to_text(config(run=f"fresh {fresh}", fresh=fresh, steps=2)) for fresh in (False, True)]
    ours, theirs = (trivium.load(run.folder).network.state_dict() for run in runs)
    start = trivium.load(base).network.state_dict()
    name = "blocks.0.attention.qkv.weight"
    assert (ours[name] - start[name]).abs().max() < 0.05 < (theirs[name] - start[name]).abs().max()


def test_long_sources_are_cut_and_long_targets_left_out(
    config: Callable[..., TextToTextConfig], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    lines = [
        {"source": f"{WORDS[n % 4]} " * 20 + OTHERS[n % 3], "target": "dog " * (1 + 9 * (n % 3 == 1))}
        for n in range(12)
    ]
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text_to_text(config(data=tmp_path / "long.jsonl", rows=2, steps=1))
    said = capsys.readouterr().err
    assert "texts are cut after 16 tokens" in said
    assert "targets are longer than 6 tokens and left out" in said


def test_pairs_come_line_by_line_too(config: Callable[..., TextToTextConfig], tmp_path: pathlib.Path):
    (tmp_path / "a.de").write_text("ein hund\neine katze\n")
    (tmp_path / "a.en").write_text("a dog\na cat\n")
    paths = {"data": tmp_path / "a.de", "target": tmp_path / "a.en"}
    training, held_out = share_out_texts(config(**paths))
    assert [(one.text, one.summaries) for one in training + held_out] == [
        ("ein hund", ("a dog",)),
        ("eine katze", ("a cat",)),
    ]
    with pytest.raises(ConfigError, match="of one form"):
        config(**paths, validation=tmp_path / "a.de")


def test_labels_are_written_out(config: Callable[..., TextToTextConfig], tmp_path: pathlib.Path):
    said = [f"{one} {two} {three}" for one in OTHERS for two in OTHERS for three in OTHERS]
    rows = [f"{word} {words}\t{WORDS.index(word)}\n" for word in WORDS for words in said]
    (tmp_path / "animals.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    words = write_t5(tmp_path / "t5", [" ".join(["animal", ":", "0 1 2 3", *WORDS, *OTHERS])])
    fields = {"source_field": "sentence", "target_field": "label", "task": "text_to_text", "prefix": "animal : "}
    run = text_to_text(config(data=tmp_path / "animals.tsv", base=words, **fields))
    model = trivium.load(run.folder)
    found = model.generate([f"animal : {word} the old red" for word in WORDS], max_new_tokens=4)
    assert sum(one.text == str(number) for number, one in enumerate(found)) >= 3
    assert "exact match" in run.report.read_text("utf-8")


def test_answers_are_written(config: Callable[..., TextToTextConfig], tmp_path: pathlib.Path):
    paragraphs = []
    for number in range(40):
        context = f"the {WORDS[number % 4]} {OTHERS[number % 3]} " * (1 + number % 7)
        asked = {"question": "red", "answers": [{"text": WORDS[number % 4], "answer_start": 4}]}
        paragraphs.append({"context": context, "qas": [asked, {"question": "old", "answers": []}]})
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    base = write_t5(tmp_path / "t5", [" ".join(["question: context:", *WORDS, *OTHERS])])
    asked = {"data": tmp_path / "squad.json", "base": base, "task": "answering"}
    training, held_out = share_out_texts(config(**asked, prefix=""))
    assert len(training) + len(held_out) == 40 and training[0].text.startswith("question: red context: the")
    assert not {one.group for one in training} & {one.group for one in held_out}
    model = trivium.load(text_to_text(config(**asked, prefix="", steps=2)).folder)
    assert model.purpose == "answering" and model.answer("red", "the dog red").text is not None
    with pytest.raises(ConfigError, match="form of their own"):
        config(**asked)


def test_a_resumed_run_is_the_run_that_never_stopped(
    config: Callable[..., TextToTextConfig], monkeypatch: pytest.MonkeyPatch
):
    often = TrainingConfig(log_every_steps=1, evaluate_every_steps=3, checkpoint_every_steps=3)
    shape = {"steps": 9, "rows": 8, "training": often}
    assert_resumes_bit_for_bit(lambda **how: text_to_text(config(**shape, **how)), monkeypatch)


def test_what_cannot_be_is_refused(config: Callable[..., TextToTextConfig], tmp_path: pathlib.Path):
    for changes, message in (
        ({"base": None, "fresh": True}, "fresh draws"),
        ({"model": TranslatorConfig(width=8)}, "the model of the base"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"target_tokens": 1}, "target_tokens must be"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(**changes)
    encoder = write_bert(tmp_path / "bert", ["a b"])
    with pytest.raises(Unsupported, match="by an encoder-decoder"):
        text_to_text(config(base=encoder))
    lines = [{"source": f"{word} {other}", "target": " ".join(WORDS)} for word in WORDS for other in OTHERS]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match="every target is longer"):
        text_to_text(
            config(
                data=tmp_path / "t.jsonl",
                target_tokens=4,
                prefix="",
                base=None,
                vocabulary=SharedVocabularyConfig(kind="word", size=40),
            )
        )
    with pytest.raises(UserError, match="no field"):
        text_to_text(config(source_field="story"))
    assert not (tmp_path / "text_to_text").exists()
