"""`trivium predict` on models that are really there: what is printed, and what is refused."""

import io
import json
import pathlib
import sys

import pytest

from tests.recipes.labelling import (
    LABELS,
    TEXTS,
    write_classifier,
    write_language_model,
    write_tagger,
    write_translator,
)
from trivium.cli import main as cli
from trivium.cli import predict
from trivium.cli.terminal import console


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_classifier(tmp_path_factory.mktemp("classifier") / "model"))


@pytest.fixture
def texts(tmp_path: pathlib.Path) -> str:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    return str(tmp_path / "texts.txt")


def test_one_json_a_line_and_nothing_else(classifier, texts, tmp_path, capsys):
    assert cli.main(["predict", classifier, "--input", texts, "--json"]) == 0
    said = capsys.readouterr()
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [one["text"] for one in found] == TEXTS and said.err == ""
    output = tmp_path / "out.jsonl"
    assert cli.main(["predict", classifier, texts, "--json"]) == 2
    assert f"trivium predict {classifier} --input {texts}" in capsys.readouterr().err
    assert cli.main(["predict", classifier, "--input", texts, "--output", str(output)]) == 0
    assert f"written to {output}" in capsys.readouterr().err
    assert [json.loads(line) for line in output.read_text().splitlines()] == found


def test_a_readable_line_each(classifier, texts, tmp_path, capsys):
    assert cli.main(["predict", classifier, "--input", texts]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, text in zip(lines, TEXTS, strict=True):
        label, share, rest = line.split(maxsplit=2)
        assert label in LABELS and share.endswith("%") and rest == text
    translator = str(write_translator(tmp_path / "translator"))
    assert cli.main(["predict", translator, "--input", texts, "--beams", "1", "--max-new-tokens", "3"]) == 0
    assert len(capsys.readouterr().out.split("\n")) == len(TEXTS) + 1


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (
            {"tags": [], "text": "Ann is in New York.", "spans": [("a", 0, 3, "Ann"), ("b", 10, 18, "New York")]},
            "[Ann a] is in [New York b].\n",
        ),
        ({"tags": ["O", "O"], "words": ["so", "it"], "text": "so it", "spans": []}, "so it\n"),
        ({"tags": ["NOUN", "VERB"], "words": ["dogs", "run"], "text": "dogs run", "spans": []}, "dogs/NOUN run/VERB\n"),
    ],
)
def test_how_tags_are_shown(found, shown):
    names = ("label", "start", "end", "text")
    spans = [dict(zip(names, span, strict=True)) for span in found["spans"]]
    file = io.StringIO()
    predict._show(console(file), {**found, "spans": spans})
    assert file.getvalue() == shown


def test_a_tagger_reads_standard_input(tmp_path, monkeypatch, capsys):
    model = str(write_tagger(tmp_path / "tagger"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Anna, hi\n")))
    assert cli.main(["predict", model, "--input", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["words"] == ["Anna", ",", "hi"]


def test_a_dry_run_counts_the_texts(classifier, texts, capsys):
    assert cli.main(["predict", classifier, "--input", texts, "--dry-run", "--json"]) == 0
    needs = json.loads(capsys.readouterr().out)["needs"]
    assert (needs["for"], needs["texts"]) == ("classification", 3) and "bilstm" in needs["model"]
    assert cli.main(["predict", classifier, "--input", "-", "--dry-run"]) == 0
    assert "known when it has ended" in capsys.readouterr().out


def test_what_is_asked_wrongly(classifier, texts, tmp_path, capsys):
    model = str(write_language_model(tmp_path / "lm"))
    assert cli.main(["predict", model, "--input", texts]) == 2
    assert f"trivium generate {model}" in capsys.readouterr().err
    assert cli.main(["predict", classifier]) == 2
    assert "trivium predict needs --input" in capsys.readouterr().err
    assert cli.main(["predict", classifier, "--input", texts, "--steps", "3"]) == 2
    assert "it reads every text once" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"txt": "a"}\n')
    assert cli.main(["predict", classifier, "--input", str(tmp_path / "bad.jsonl"), "--json"]) == 2
    said = capsys.readouterr()
    assert "bad.jsonl, line 2" in said.err and said.out == ""


def test_evaluating_shows_a_table(classifier, tmp_path, capsys):
    (tmp_path / "test.csv").write_text("text,label\n" + "".join(f"{text!r},calm\n" for text in ("a", "b", "c")))
    assert cli.main(["evaluate", classifier, "--data", str(tmp_path / "test.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "task: classification" and lines[1].startswith("metrics: accuracy ")
    assert lines[2].split() == ["per", "label", "precision", "recall", "f1", "support"]
    assert any(line.startswith("intervals: accuracy ") and " to " in line for line in lines)
    assert cli.main(["evaluate", classifier, "--data", str(tmp_path / "test.csv"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needs"]["task"] == "classification"
