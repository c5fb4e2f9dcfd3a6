"""`trivium models --trace`: the tree, the JSON, and the exit code that a script can rely on."""

import json
import pathlib

import pytest

from tests.data.prepared_folder import write_prepared
from tests.lm.small import network
from trivium.checkpoints.model_folder import save_folder
from trivium.cli import main as cli
from trivium.data.provenance import data_facts


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    prepared = write_prepared(tmp_path / "data")
    shape = network("llama", prepared.tokenizer.vocabulary_size)
    save_folder(tmp_path / "model", shape, tokenizer=prepared.tokenizer, metadata=data_facts(prepared))
    return tmp_path / "model"


def test_a_whole_chain_exits_with_0(model: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--trace", str(model)]) == 0
    said = capsys.readouterr().out
    for part in (f"base {model}", f"corpus {model.parent / 'data'}", "notes: CC0-1.0", "the chain is verified"):
        assert part in said
    assert cli.main(["models", "--trace", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["state"] == "verified"
    assert [link["kind"] for link in facts["links"]] == ["tokenizer", "corpus", "tokenizer", "base"]
    assert all(link["recorded"] == link["found"] for link in facts["links"])


def test_an_altered_chain_exits_with_1_and_says_where(model: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "README.md").write_text("other")
    assert cli.main(["models", "--trace", str(model)]) == 1
    captured = capsys.readouterr()
    assert "the chain is altered" in captured.out
    assert "README.md" in captured.err
    assert cli.main(["models", "--trace", str(model), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "altered"


def test_a_missing_step_is_told_and_no_failure(model: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model.parent / "data").rename(model.parent / "moved")
    assert cli.main(["models", "--trace", str(model)]) == 0
    said = capsys.readouterr().out
    assert "not found: not on this machine" in said and "what is here is verified" in said


def test_what_is_not_there_is_asked_wrongly(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--trace", str(tmp_path / "nothing")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert cli.main(["models", "--trace", str(tmp_path / "nothing"), "--dry-run"]) == 0
