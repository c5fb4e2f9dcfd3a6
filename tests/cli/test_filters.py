"""`trivium filters`: the table and how to go on for people, one object for programs."""

import json
import pathlib

import pytest

from trivium.cli import filters
from trivium.cli import main as cli
from trivium.cli.main import find_verb
from trivium.cli.verbs import Options
from trivium.errors import ConfigError

VERB = find_verb("filters")


@pytest.fixture
def notes(tmp_path: pathlib.Path) -> str:
    lines = "".join(
        f"On day {n} we went to the harbour, and a man sold us {n % 17} fish of good size.\n" for n in range(4000)
    )
    (tmp_path / "notes.txt").write_text(lines)
    return str(tmp_path / "notes.txt")


def test_it_says_what_was_measured_and_how_to_go_on(
    notes: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a filter"
    (tmp_path / "empty.txt").write_text("")
    words = [notes, str(tmp_path / "empty.txt"), "--output", str(out), "--ngrams.order", "4"]
    filters.run(VERB, words, Options())
    said, beside = capsys.readouterr()
    assert "precision" in said and "WARNING" in said and "passed over: the file is empty (1)" in beside
    assert f"--text.perplexity-model '{out}' --text.perplexity-limit " in said
    filters.run(VERB, words, Options(json=True))
    facts = json.loads(capsys.readouterr().out)
    assert facts["folder"] == str(out) and 0 <= facts["recall"] <= 1 and facts["kind"] == "perplexity"
    assert f"{facts['limit']:.6g}" == said.rsplit(" ", 1)[1].strip()


def test_a_dry_run_reads_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    filters.run(VERB, ["nowhere.txt", "--output", str(tmp_path / "x")], Options(dry_run=True))
    assert "nowhere.txt" in capsys.readouterr().out and not (tmp_path / "x").exists()


def test_what_is_missing_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="--sources"):
        filters.run(VERB, [], Options())


def test_exit_codes_and_help(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["filters", "--help"]) == 0
    assert "Example: trivium filters" in capsys.readouterr().out
    (tmp_path / "a.txt").write_text("too little")
    assert cli.main(["filters", str(tmp_path / "a.txt"), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "there is too little text" in said.err and "Traceback" not in said.err and said.out == ""
