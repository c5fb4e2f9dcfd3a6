"""`prepare`: from text to shards, counted, deterministic, whole or not at all."""

import errno
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trivium import tokenizers
from trivium.cli.main import main
from trivium.data import sources
from trivium.data.prepared import Prepared, open_prepared
from trivium.data.quality import QualityConfig
from trivium.data.readers import ReadOptions
from trivium.data.refine import TextConfig
from trivium.data.staging import staged_folder
from trivium.errors import ConfigError, DataError, StorageError
from trivium.recipes.prepare import PrepareConfig, prepare, summary

KEYS = {"documents_in", "documents_out", "bytes_in", "bytes_out", "removed", "tokens", "manifest"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for n in range(120):
        words = " ".join(f"word{n * k % 97} and{n}" for k in range(1, 30))
        (folder / f"{n:03}.txt").write_text(f"Text number {n}.\r\n{words} é\n")
    (folder / "again.txt").write_text((folder / "007.txt").read_text())
    (folder / "blank.txt").write_bytes(b"\x01")
    (folder / "empty.txt").write_bytes(b"")
    return folder


def run(source: Path, output: Path, **options: Any) -> Prepared:
    settings = {"vocabulary_size": 400, "validation_fraction": 0.1, **options}
    return prepare(PrepareConfig(sources=(str(source),), output=output, **settings), silent=True)


def test_text_becomes_shards_and_every_step_is_counted(source: Path, tmp_path: Path) -> None:
    prepared = run(source, tmp_path / "out")
    assert sorted(path.name for path in prepared.folder.iterdir()) == [
        "documents.jsonl",
        "funnel.html",
        "funnel.json",
        "manifest.json",
        "passed_over.jsonl",
        "tokenizer.json",
        "tokenizer_config.json",
        "train",
        "validation",
    ]
    result = summary(prepared)
    assert set(result) == KEYS
    assert result["documents_in"] == 122
    assert result["removed"]["file passed over"] == 1
    assert result["removed"]["nothing left after cleaning"] == 1
    assert result["removed"]["duplicate"] == 1
    removed = sum(result["removed"].values()) - result["removed"]["file passed over"]
    assert result["documents_in"] - removed == result["documents_out"]
    assert result["tokens"] == prepared.train.num_tokens + prepared.validation.num_tokens
    assert result["bytes_out"] == prepared.train.num_bytes + prepared.validation.num_bytes
    assert Path(result["manifest"]).exists()
    duplicate = next(step for step in prepared.funnel if step["rule"] == "duplicate")
    assert duplicate["examples"][0]["id"] == "again.txt"
    assert duplicate["examples"][0]["reason"] == "repeats 007.txt"
    document = prepared.train.document(0)
    assert document[0] == prepared.tokenizer.bos_id
    assert document[-1] == prepared.tokenizer.eos_id
    texts = [*prepared.texts("train"), *prepared.texts("validation")]
    assert all(text.startswith("Text number") and text.endswith("é") and "\r" not in text for text in texts)
    assert sum(len(text.encode()) for text in texts) == result["bytes_out"]


def test_the_same_input_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first, second = run(source, tmp_path / "a"), run(source, tmp_path / "b")
    names = [path.relative_to(first.folder) for path in first.folder.rglob("*") if path.is_file()]
    assert len(names) == 13
    assert all((first.folder / name).read_bytes() == (second.folder / name).read_bytes() for name in names)
    assert first.fingerprint != run(source, tmp_path / "c", validation_fraction=0.2).fingerprint


def test_a_given_vocabulary_is_used_as_it_is(source: Path, tmp_path: Path) -> None:
    tokenizers.train(["other text"] * 3, vocabulary_size=270).save(tmp_path / "vocabulary")
    prepared = run(source, tmp_path / "out", tokenizer=tmp_path / "vocabulary")
    assert prepared.tokenizer.files() == tokenizers.load(tmp_path / "vocabulary").files()


def test_a_vocabulary_is_learnt_from_so_much_text_of_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:03}.txt").write_text(f"{n:03} " + " ".join(f"w{n * 7919 + k * k}" for k in range(6000)))
    learnt: list[str] = []
    train = tokenizers.train

    def spy(texts: Any, **options: Any) -> Any:
        learnt.extend(texts)
        return train(learnt, **options)

    monkeypatch.setattr(tokenizers, "train", spy)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 2_500_000
    options = {"vocabulary_megabytes": 1, "validation_fraction": 0.05}
    run(folder, tmp_path / "out", **options)
    assert 0.95e6 < sum(map(len, learnt)) < 1.1e6
    drawn = sorted(int(text[:3]) for text in learnt)
    assert drawn[0] < 3 and drawn[-1] > 56 and all(b - a <= 5 for a, b in itertools.pairwise(drawn))
    learnt.clear()
    run(folder, tmp_path / "every", kind="character", vocabulary_size=None, **options)
    assert sum(map(len, learnt)) > 2_300_000  # a character that is not seen could not be written
    with pytest.raises(ConfigError, match="learnt from text"):
        run(folder, tmp_path / "none", vocabulary_megabytes=0)
    with pytest.raises(ConfigError, match=r"cannot be identified\n  received: English"):
        run(folder, tmp_path / "none", text=TextConfig(languages=("English",)))


def test_one_book_is_split_at_its_end(tmp_path: Path) -> None:
    text = "".join(f"{n}. To be or not to be.\n" for n in range(500)).rstrip("\n")
    (tmp_path / "book.txt").write_text(text)
    prepared = run(tmp_path / "book.txt", tmp_path / "out", kind="character", vocabulary_size=None)
    assert prepared.manifest["split"] == "tail"
    assert "".join([*prepared.texts("train"), *prepared.texts("validation")]) == text
    assert prepared.validation.num_documents == 1


def test_the_embedded_corpus_is_a_source(tmp_path: Path) -> None:
    config = PrepareConfig(sources=("embedded:numpy",), output=tmp_path / "out", vocabulary_size=512)
    prepared = prepare(config, silent=True)
    assert prepared.manifest["licences"] == {"BSD-3-Clause": prepared.manifest["documents_out"]}
    assert prepared.manifest["removed"]["near-duplicate of training"] > 0
    with pytest.raises(DataError, match="no such part\n  received: scipy"):
        prepare(PrepareConfig(sources=("embedded:scipy",), output=tmp_path / "x"), silent=True)


def test_a_failure_leaves_the_old_data_and_nothing_else(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run(source, tmp_path / "out").fingerprint

    def full(path: Path, *args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    for method in ("write_bytes", "write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, full)
            with pytest.raises(StorageError, match="No space left on device"):
                run(source, tmp_path / "out", validation_fraction=0.2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    assert open_prepared(tmp_path / "out").fingerprint == before


def test_wrong_requests_are_refused_before_any_work(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation_fraction"):
        run(source, tmp_path / "out", validation_fraction=1.0)
    with pytest.raises(ConfigError, match="needs a size"):
        run(source, tmp_path / "out", vocabulary_size=None)
    with pytest.raises(ConfigError, match="nothing to prepare"):
        prepare(PrepareConfig(sources=(), output=tmp_path / "out"), silent=True)
    with pytest.raises(StorageError, match="holds something else than prepared data"):
        run(source, source)
    with pytest.raises(StorageError, match="the output is a file"):
        run(source, source / "001.txt")
    with pytest.raises(ConfigError, match=r"no SPDX expression\n  received: my own"):
        run(source, tmp_path / "out", reading=ReadOptions(licence="my own"))
    absent = TextConfig(quality=QualityConfig(rules=(), blocklists=(str(tmp_path / "absent.txt"),)))
    with pytest.raises(StorageError, match=r"cannot be read\n  received: .*absent\.txt"):
        run(source, tmp_path / "out", text=absent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_licence_is_spelt_as_in_its_list(source: Path, tmp_path: Path) -> None:
    prepared = run(source, tmp_path / "out", reading=ReadOptions(licence="apache 2.0"), licences=("Apache-2.0",))
    assert list(prepared.manifest["licences"]) == ["Apache-2.0"]


def test_a_source_that_cannot_be_listed_is_no_fault_of_the_output(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(source))

    monkeypatch.setattr(sources, "list_parts", refuse)
    with pytest.raises(DataError, match=r"a source cannot be read\n  received: .*source: Permission denied"):
        run(source, tmp_path / "out")


def test_the_command_tells_the_funnel_and_does_without_torch(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from trivium.cli.main import main\n"
        "sys.exit(main(['prepare', *sys.argv[1:], '--vocabulary-size', '400']) or 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(source), "--output", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["read", "122", "documents", "0.05", "MB"]
    assert ["duplicate", "−1", "120", "left"] in [line.split() for line in lines]
    assert lines[-1] == f"{tmp_path / 'out' / 'funnel.html'} shows some of what each rule removed"


def test_damage_to_a_prepared_folder_is_noticed(source: Path, tmp_path: Path) -> None:
    folder = run(source, tmp_path / "out").folder
    with pytest.raises(StorageError, match="no prepared data here"):
        open_prepared(source)
    content = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(content.replace('"<|pad|>"', '"<|pod|>"'))
    with pytest.raises(DataError, match="not those of the manifest"):
        open_prepared(folder)
    (folder / "tokenizer.json").write_text(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "x"}))
    with pytest.raises(DataError, match="not a manifest of this format"):
        open_prepared(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        open_prepared(folder)
    for key in ("fingerprint", "split"):
        (folder / "manifest.json").write_text(json.dumps({**manifest, key: None}))
        with pytest.raises(DataError, match="no fingerprint or no split"):
            open_prepared(folder)


def test_only_prepared_data_is_replaced(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run(source, tmp_path / "out").folder
    for name in ("notes.txt", "train/notes.txt", "other/shards.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
        with pytest.raises(StorageError, match=f"received: .*out: {name}\n(.|\n)*another --output"):
            run(source, folder)
        (folder / name).unlink()
    assert run(source, folder).train.num_documents
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(StorageError, match=r"received: .*web: manifest\.json"):
        run(source, tmp_path / "web")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="current folder"):
        run(source, Path())


def test_a_replacement_killed_between_its_renames_is_undone(source: Path, tmp_path: Path) -> None:
    before = run(source, tmp_path / "out").fingerprint
    (tmp_path / "out").rename(tmp_path / ".out.replaced")
    (tmp_path / ".out.partial").mkdir()

    def stop() -> None:
        with staged_folder(tmp_path / "out"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop()
    assert open_prepared(tmp_path / "out").fingerprint == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def command(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The lines that `trivium prepare` prints."""
    assert main(["prepare", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_forgetting_tells_a_document_from_its_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The end of each of two books is held out: one document, on two sides."""
    for name in "ab":
        words = (f"{name}{n * n % 89}" + "." * (n % 9 == 0) for n in range(600))
        (tmp_path / "books" / f"{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "books" / f"{name}.txt").write_text(" ".join(words))
    prepared = run(tmp_path / "books", tmp_path / "out", split="tail", vocabulary_size=300)
    base = tmp_path / "runs" / "base"
    base.mkdir(parents=True)
    (base / "trivium.json").write_text(json.dumps({"data_fingerprint": prepared.fingerprint}))
    asked = ("--forget", "a.txt", "--output", str(prepared.folder), "--runs")
    first = command(capsys, *asked, str(tmp_path / "runs"))
    assert first[0].startswith("removed: 1 document in 2 places, with ")
    assert first[1:] == ["runs that saw it: 1", f"  {base}: trained on it"]
    again = command(capsys, *asked, str(tmp_path / "elsewhere"))
    assert again == ["already forgotten: there was nothing to remove", *first[1:]]


def test_links_out_of_a_folder_are_told_and_not_read(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("nobody is to be trained on this secret of mine. " * 9)
    (source / "link.txt").symlink_to(tmp_path / "secret.txt")
    (source / "twice.txt").symlink_to("001.txt")
    (source / "round").symlink_to("..")
    prepared = run(source, tmp_path / "out")
    lines = (tmp_path / "out" / "passed_over.jsonl").read_text().splitlines()
    told = {row["name"]: row["reason"] for row in map(json.loads, lines)}
    assert (
        told.items()
        >= {
            "link.txt": "the link leads out of the folder",
            "round": "the link leads out of the folder",
            "twice.txt": "the link leads to what is read where it lies",
        }.items()
    )
    assert not any("secret" in text for side in ("train", "validation") for text in prepared.texts(side))
    with pytest.raises(DataError, match="the link leads out of the folder"):
        run(source, tmp_path / "strict", skip_unreadable=False)


def test_a_terminal_of_few_characters(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    assert main(["prepare", str(source), "--output", str(tmp_path / "é"), "--vocabulary-size", "400"]) == 0
    lines = shown.getvalue().decode("ascii").splitlines()
    assert any(line.split()[:2] == ["duplicate", "-1"] for line in lines)
    assert "\\xe9/funnel.html shows" in lines[-1]
