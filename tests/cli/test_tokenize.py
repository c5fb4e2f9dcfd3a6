"""`trivium tokenize`: a text as its tokens, on a terminal and for programs; and what languages cost."""

import io
import json
import pathlib
import re
import sys
import zipfile

import pytest

from trivium import tokenizers
from trivium.cli import tokenize
from trivium.cli.main import find_verb, main
from trivium.cli.verbs import Options
from trivium.errors import ConfigError, DataError, StorageError, TokenizerError

VERB = find_verb("tokenize")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizers.train(["the cat and the dog"] * 5, vocabulary_size=290).save(path)
    return str(path)


def told(*words: str, json_too: bool = False) -> None:
    tokenize.run(VERB, words, Options(json=json_too))


def facts(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    told(*words, json_too=True)
    return json.loads(capsys.readouterr().out)


def test_pieces_and_ids_are_those_of_the_tokenizer(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    ids = tokenizers.load(folder).encode("the é<|end|>")
    found = facts(capsys, folder, "--text", "the é<|end|>")
    assert found["ids"] == ids and found["tokens"] == len(ids) and not found["cut"]
    assert (found["characters"], found["bytes"]) == (12, 13)
    assert "".join(piece["text"] for piece in found["pieces"][:1]) == "the"
    special = facts(capsys, folder, "--text", "the<|end|>", "--special")
    assert [piece["special"] for piece in special["pieces"]] == [False, True]
    told(folder, "--text", "the é")
    above, below, _, count = capsys.readouterr().out.strip().split("\n")
    assert above.startswith("the|") and "\x1b" not in above
    assert [int(id) for id in below.split()] == tokenizers.load(folder).encode("the é")
    assert count.endswith("tokens for 5 characters, 6 bytes")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_colours_and_obeys_nothing(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    told(folder, "--text", "the cat\x1b[2J\u202e [red] " * 10)
    said = screen.getvalue()
    assert re.search(r"\x1b\[30;10\dm", said), "a ground of some colour"
    assert "\x1b[2J" not in said and "\u202e" not in said and "[red]" in re.sub(r"\x1b\[[0-9;]*m| ", "", said)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert max(len(line.rstrip()) for line in plain.split("\n")) <= 60
    assert str(tokenizers.load(folder).encode("the")[0]) in plain


def test_a_file_of_any_kind_standard_input_and_a_page(
    folder: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "the cat"}\n{"text": "the dog"}\n')
    found = facts(capsys, folder, "--file", str(tmp_path / "a.jsonl"))
    assert found["ids"] == tokenizers.load(folder).encode("the cat\nthe dog")
    found = facts(capsys, folder, "--file", str(tmp_path / "a.jsonl"), "--characters", "7")
    assert found["cut"] and "".join(piece["text"] for piece in found["pieces"]) == "the cat"
    assert not facts(capsys, folder, "--file", str(tmp_path / "a.jsonl"), "--characters", "15")["cut"]
    (tmp_path / "line.txt").write_text("a" * 10_000_000)
    assert facts(capsys, folder, "--file", str(tmp_path / "line.txt"))["characters"] == 2000
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat"))
    assert facts(capsys, folder)["tokens"] == len(tokenizers.load(folder).encode("the cat"))
    told(folder, "--text", "<b>the", "--html", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<b>" not in page and "charset" in page


def test_fertility_by_file_and_by_stated_language(
    folder: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("the cat and the dog")
    (tmp_path / "texts" / "b.jsonl").write_text(
        '{"text": "the cat", "language": "en"}\n{"text": "x"}\n{"text": "the", "language": "en"}\n'
    )
    (tmp_path / "texts" / "empty.txt").write_text("")
    found = facts(capsys, folder, "--fertility", str(tmp_path / "texts"))
    rows = {row["language"]: row for row in found["fertility"]}
    assert rows.keys() == {"a.txt", "b.jsonl", "en"}
    assert (rows["en"]["words"], rows["en"]["characters"], rows["a.txt"]["words"]) == (3, 10, 5)
    assert found["passed_over"] == [{"name": "empty.txt", "reason": "the file is empty"}]
    told(folder, "--fertility", str(tmp_path / "texts" / "a.txt"))
    lines = capsys.readouterr().out.split("\n")
    assert lines[0].split()[:2] == ["language", "tokens/word"] and lines[1].startswith("a.txt")
    told(folder, "--fertility", str(tmp_path / "texts"), "--html", str(tmp_path / "table.html"))
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "<td>b.jsonl</td>" in page


def test_public_declarations(
    shared_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(shared_data / "udhr" / "udhr2.zip") as archive:
        for name in ("udhr2/eng.txt", "udhr2/tha.txt", "udhr2/fin.txt"):
            archive.extract(name, tmp_path)
    gpt2 = str(shared_data / "tokenizers" / "gpt2")
    rows = facts(capsys, gpt2, "--fertility", str(tmp_path))["fertility"]
    assert [row["language"] for row in rows] == ["eng.txt", "fin.txt", "tha.txt"]
    assert rows[2]["tokens_per_word"] is None and rows[2]["tokens_per_byte"] > 0.5 > rows[0]["tokens_per_byte"]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["--text", "a", "--file", "b"], ConfigError, "several things"),
        (["--text", "a", "--fertility", "b"], ConfigError, "several things"),
        (["--text", "a", "--characters", "-1"], ConfigError, "negative"),
        (["--file", "{folder}/nothing.txt"], DataError, "no such file"),
        (["--file", "{folder}/binary.txt"], DataError, "binary"),
        (["--file", "{folder}/empty.txt"], DataError, "empty"),
        (["--file", "{folder}/column.csv"], DataError, "no column `text`"),
        (["--fertility", "{folder}/binary.txt"], DataError, "binary"),
        (["--fertility", "{folder}/empty.txt"], DataError, "no text to measure"),
        (["--fertility", "{folder}/nothing.txt"], DataError, "no such file"),
        (["--text", "a", "--html", "{folder}/no/page.html"], StorageError, "cannot be written"),
    ],
)
def test_what_cannot_work_is_said(
    folder: str, tmp_path: pathlib.Path, words: list[str], error: type[Exception], said: str
) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\x00\xff" * 100)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "column.csv").write_text("body\nx\n")
    with pytest.raises(error, match=said):
        told(folder, *[word.format(folder=tmp_path) for word in words])


def test_a_folder_without_a_tokenizer(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TokenizerError, match="holds no tokenizer"):
        told(str(tmp_path), "--text", "a")
    with pytest.raises(StorageError):
        told(str(tmp_path / "nothing"), "--text", "a")


def test_a_text_without_its_flag_is_told_where_it_goes(capsys):
    assert main(["tokenize", "my folder", "some", "text"]) == 2
    said = capsys.readouterr().err
    assert "received: 'my folder' some text" in said
    assert "trivium tokenize 'my folder' --text 'some text'" in said
