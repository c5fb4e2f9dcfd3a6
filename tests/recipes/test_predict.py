"""Prediction: what is read, what is answered, in which order, and what is refused before any work."""

import gzip
import io
import json
import pathlib
import sys
from dataclasses import replace

import pytest

import trivium
from tests.recipes.labelling import (
    LABELS,
    TEXTS,
    write_classifier,
    write_language_model,
    write_tagger,
    write_translator,
)
from trivium.data.conll import read_conll
from trivium.errors import ConfigError, DataError, StorageError, Unsupported
from trivium.lm.load import load
from trivium.recipes import predict as recipe
from trivium.recipes.predict import PredictConfig, predict
from trivium.recipes.texts_to_predict import read_texts
from trivium.recipes.writing import stated_new_tokens


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_classifier(tmp_path_factory.mktemp("classifier") / "model")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_tagger(tmp_path_factory.mktemp("tagger") / "model")


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_translator(tmp_path_factory.mktemp("translator") / "model")


def written(folder: pathlib.Path, text: str | bytes, name: str = "texts.txt") -> str:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def test_labels_in_the_order_of_the_texts(classifier, tmp_path):
    many = [f"{text} {number}" for number in range(5) for text in TEXTS]
    source = written(tmp_path, "\n".join(many) + "\n\n")
    config = PredictConfig(model=classifier, input=source, rows=4, output=tmp_path / "out.jsonl")
    found = list(trivium.predict(config))
    assert [one["text"] for one in found] == many
    assert set(found[0]) == {"text", "label", "probability", "probabilities"}
    assert tuple(found[0]["probabilities"]) == LABELS
    expected = load(classifier).classify(many)
    assert [one["label"] for one in found] == [one.label for one in expected]
    assert [one["probability"] for one in found] == pytest.approx([one.probability for one in expected], abs=1e-6)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == found


def test_every_form_of_texts(classifier, tmp_path):
    lines = "".join(f"{json.dumps({'text': text})}\n" for text in TEXTS) + "\n"
    bare = "".join(f"{json.dumps(text)}\n" for text in TEXTS)
    glue = "".join(f"{json.dumps({'idx': 1, 'sentence': text})}\n" for text in TEXTS)
    forms = [
        written(tmp_path, "\ufeff" + "\r\n".join(TEXTS)),
        written(tmp_path, lines, "a.jsonl"),
        written(tmp_path, bare, "b.jsonl"),
        written(tmp_path, glue, "c.jsonl"),
        written(tmp_path, gzip.compress("\n".join(TEXTS).encode()), "d.txt.gz"),
        written(tmp_path, gzip.compress(lines.encode()), "e.jsonl.gz"),
    ]
    for source in forms:
        assert [one["text"] for one in predict(PredictConfig(model=classifier, input=source))] == TEXTS, source


def test_tags_of_texts_and_of_words(tagger, tmp_path):
    words = [["Anna", "lives"], ["(", "Rome", ")"]]
    lines = [json.dumps({"words": some}) for some in words] + [json.dumps({"text": "Ben, hi"})]
    columns = "-DOCSTART-\tO\n\n# a comment\nAnna\tX\tB-person\nlives\tY\tO\n\n(\tX\tO\nRome\tX\tO\n)\tX\tO\n"
    alone = "Anna\nlives\n\n\n(\nRome\n)"
    of_json = list(predict(PredictConfig(model=tagger, input=written(tmp_path, "\n".join(lines), "a.jsonl"))))
    assert [one["words"] for one in of_json] == [*words, ["Ben", ",", "hi"]]
    assert of_json[1]["text"] == "( Rome )" and len(of_json[1]["tags"]) == 3
    for text, name in ((columns, "a.conll"), (columns, "a.tsv"), (alone, "b.bio")):
        found = list(predict(PredictConfig(model=tagger, input=written(tmp_path, text, name))))
        assert found == of_json[:2], name


def test_translations_line_by_line(translator, tmp_path):
    source = written(tmp_path, f"{TEXTS[0]}\n\n{TEXTS[1]}\n")
    config = PredictConfig(model=translator, input=source, rows=1)
    found = list(predict(config))
    assert [one["text"] for one in found] == [TEXTS[0], "", TEXTS[1]]
    model = load(translator)
    expected = model.generate([TEXTS[0], TEXTS[1]], max_new_tokens=6)
    assert expected[0].settings.beams == 2, "as generation_config.json says"
    assert [one["translation"] for one in found] == [expected[0].text.strip(), "", expected[1].text.strip()]
    greedy = list(predict(replace(config, beams=1, max_new_tokens=2)))
    assert greedy[0]["translation"] == model.generate([TEXTS[0]], max_new_tokens=2, beams=1)[0].text.strip()
    pairs = written(tmp_path, json.dumps({"source": TEXTS[0], "target": "x"}), "pairs.jsonl")
    assert list(predict(replace(config, input=pairs))) == found[:1]


@pytest.mark.parametrize(("stated", "longest"), [({}, 256), ({"max_length": 9}, 9), ({"max_new_tokens": 5}, 5)])
def test_how_long_a_translation_may_be(tmp_path, stated, longest):
    model = load(write_translator(tmp_path / "model", stated))
    assert stated_new_tokens(model) == longest


def test_standard_input_is_answered_as_it_comes(classifier, tmp_path, monkeypatch):
    given = iter([b"first\n", b"second\n"])
    asked = []

    class Slow(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            line = next(given, b"")
            asked.append(line)
            buffer[: len(line)] = line
            return len(line)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Slow())))
    answers = predict(PredictConfig(model=classifier, input="-", rows=1))
    assert next(answers)["text"] == "first" and asked == [b"first\n"]
    assert [one["text"] for one in answers] == ["second"]
    lines = io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n{"text": "b"}\n'))
    monkeypatch.setattr(sys, "stdin", lines)
    assert [one["text"] for one in predict(PredictConfig(model=classifier, input="-"))] == ["a", "b"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(DataError, match="no texts here"):
        list(predict(PredictConfig(model=classifier, input="-")))


def test_it_holds_no_more_than_a_batch(classifier, tmp_path, monkeypatch):
    """However long the file: what has been read is at most one batch ahead of what was given."""
    taken = []
    read = recipe.read_texts

    def counted(*arguments):
        for text in read(*arguments):
            taken.append(text)
            yield text

    source = written(tmp_path, "a\n" * 50)
    monkeypatch.setattr(recipe, "read_texts", counted)
    answers = predict(PredictConfig(model=classifier, input=source, rows=4))
    taken.clear()  # of the pass that looks for lines that cannot be used
    for given, _ in enumerate(answers):
        assert len(taken) <= given + 4


@pytest.mark.parametrize(
    ("name", "content", "what", "where"),
    [
        ("a.jsonl", b'{"text": "a"}\nno json\n', "the line is not JSON", "a.jsonl, line 2"),
        ("a.jsonl", b'{"text": "a"}\n{"label": "a"}\n', "the line holds no text", "a.jsonl, line 2"),
        ("a.jsonl", b'{"text": 3}\n', "the line holds no text", "a.jsonl, line 1"),
        ("a.jsonl", b'{"words": ["a"]}\n', "the line holds no text", "a.jsonl, line 1"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "the line holds no text", "a.jsonl, line 1"),
        ("a.txt", b"good\n\xff\xfe\n", "the line is not text", "a.txt, line 2: byte 0xff"),
        ("a.txt", b"", "there are no texts here", "a.txt"),
        ("a.txt", b"\n \n", "there are no texts here", "a.txt"),
        ("a.csv", b"text,label\na,b\n", "not read from this kind of file", "a.csv"),
        ("a.conll", b"", "there are no texts here", "a.conll"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_before_any_work(
    classifier, tmp_path, monkeypatch, name, content, what, where
):
    def no_work(*_, **__):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(recipe, "load", no_work)
    with pytest.raises(DataError, match=what) as caught:
        predict(PredictConfig(model=classifier, input=written(tmp_path, content, name)))
    assert str(caught.value.received).endswith(where) or where in str(caught.value.received)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.conll", b"Anna\tO\nlives\n", r"line of the words cannot be read[\s\S]*line 2[\s\S]*2 columns"),
        ("a.conll", b"\tO\n", r"line of the words cannot be read"),
        ("a.jsonl", b'{"words": []}\n', r"holds no text[\s\S]*line 1[\s\S]*\"words\""),
        ("a.jsonl", b'{"words": ["a", " "]}\n', r"holds no text"),
        ("a.csv", b"a,b\n", r"CoNLL file"),
    ],
)
def test_words_that_cannot_be_used(tagger, tmp_path, name, content, what):
    with pytest.raises(DataError, match=what):
        predict(PredictConfig(model=tagger, input=written(tmp_path, content, name)))


def test_words_are_read_as_they_are_for_training(tmp_path):
    text = "# Document\n10\u00a0000 O\n# O\n\n# O\nRome B-LOC\n-DOCSTART- O\n\n# id 7\nis O\n"
    path = written(tmp_path, text, "a.conll")
    words = [["10\u00a0000", "#"], ["#", "Rome"], ["is"]]
    assert list(read_texts(path, "tagging")) == words
    assert [list(sentence.words) for sentence in read_conll(pathlib.Path(path)).sentences] == words
    alone = written(tmp_path, "# text = a b\na\n#\n\nb\n", "b.conll")
    assert list(read_texts(alone, "tagging")) == [["a", "#"], ["b"]]


def test_what_cannot_be_asked(classifier, tmp_path):
    source = written(tmp_path, "a\n")
    config = PredictConfig(model=classifier, input=source)
    with pytest.raises(Unsupported, match=r"for no prediction[\s\S]*trivium generate"):
        predict(replace(config, model=write_language_model(tmp_path / "lm")))
    with pytest.raises(ConfigError, match="beams means nothing for classification"):
        predict(replace(config, beams=2))
    with pytest.raises(DataError, match="cannot be read"):
        predict(replace(config, input=str(tmp_path / "nothing.txt")))
    with pytest.raises(DataError, match="cannot be read"):
        predict(replace(config, input=str(tmp_path)))
    with pytest.raises(DataError, match="cannot be read"):
        predict(replace(config, input=str(tmp_path / "nothing.txt"), output=pathlib.Path(source)))
    with pytest.raises(StorageError, match="no folder to write"):
        predict(replace(config, output=tmp_path / "no" / "a.jsonl"))
    with pytest.raises(ConfigError, match="written over"):
        predict(replace(config, output=pathlib.Path(source)))
    with pytest.raises(ConfigError, match="rows is too small"):
        PredictConfig(model=classifier, input=source, rows=0)
    assert pathlib.Path(source).read_text() == "a\n"
