"""Forgetting: the document is gone from every file, the rest is as it was, and whoever saw it is named."""

import json
import pathlib
from typing import Any

import pytest

from tests.data.prepared_folder import write_prepared
from trivium.data import forget as forgetting
from trivium.data.forget import forget
from trivium.data.prepared import DOCUMENTS, MANIFEST, Prepared, open_prepared
from trivium.data.provenance import stored_documents, text_sha256
from trivium.errors import DataError, StorageError

SECRET = "3: dogs and cats run"


@pytest.fixture
def prepared(tmp_path: pathlib.Path) -> Prepared:
    return write_prepared(tmp_path / "data")


def texts(prepared: Prepared, side: str = "train") -> list[str]:
    return list(prepared.texts(side))


def everything(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_document_is_gone_and_the_rest_is_as_it_was(prepared: Prepared) -> None:
    before, held_out = texts(prepared), texts(prepared, "validation")
    assert SECRET in before
    done = forget(prepared.folder, "3.txt", ())
    after = open_prepared(prepared.folder)  # checks every hash
    assert texts(after) == [text for text in before if text != SECRET]
    assert texts(after, "validation") == held_out
    assert done.documents == done.places == 1 and done.runs == () and done.together == ()
    assert done.tokens == prepared.train.num_tokens - after.train.num_tokens == len(prepared.train.document(3))
    assert done.fingerprint == after.fingerprint != prepared.fingerprint
    assert [document.index for document in stored_documents(after.folder) if document.side == "train"] == [*range(11)]
    for document in stored_documents(after.folder):
        stored = texts(after, document.side)[document.index]
        assert text_sha256(stored) == document.sha256
    manifest, old = after.manifest, prepared.manifest
    assert manifest["documents_out"] == old["documents_out"] - 1 == manifest["licences"]["CC0-1.0"]
    assert manifest["sources"] == old["sources"], "the sources still hold it"
    assert manifest["tokens"] == old["tokens"] - done.tokens
    assert manifest["bytes_out"] == old["bytes_out"] - len(SECRET)
    (entry,) = manifest["forgotten"]
    assert entry["id_sha256"] == [text_sha256("3.txt")] and entry["text_sha256"] == text_sha256(SECRET)
    assert entry["fingerprint"] == old["fingerprint"] and len(entry["date"]) == 10


def test_nothing_that_is_left_tells_what_it_was(prepared: Prepared) -> None:
    (prepared.folder / "funnel.html").write_text(SECRET)
    forget(prepared.folder, "3.txt", ())
    readable = {
        name: content
        for name, content in everything(prepared.folder).items()
        if name.endswith(("json", "jsonl", "html"))
    }
    assert "funnel.html" not in readable
    assert "funnel.json" in readable and b"4.txt" in readable["funnel.json"]
    for name, content in readable.items():
        assert b'"3.txt"' not in content and SECRET.encode() not in content and b"repeats 3.txt" not in content, name


def test_by_the_hash_of_its_text(prepared: Prepared) -> None:
    assert forget(prepared.folder, text_sha256(SECRET), ()).documents == 1
    assert SECRET not in texts(open_prepared(prepared.folder))


def test_joined_documents_go_together_and_that_is_said(tmp_path: pathlib.Path) -> None:
    joined = [{"ids": ["a", "b", "c"], "text": "one\n\ntwo"}, {"ids": ["d"], "text": "three", "licence": "MIT"}]
    write_prepared(tmp_path / "data", train=joined)
    done = forget(tmp_path / "data", "b", ())
    assert done.together == ("a", "c")
    assert (done.documents, done.places) == (3, 1)
    after = open_prepared(tmp_path / "data")
    assert texts(after) == ["three"]
    assert after.manifest["forgotten"][0]["id_sha256"] == [text_sha256(i) for i in "abc"]
    with pytest.raises(DataError, match="nothing would be left"):
        forget(tmp_path / "data", "d", ())
    assert texts(open_prepared(tmp_path / "data")) == ["three"]


def test_a_document_on_both_sides_or_repeated_goes_everywhere(tmp_path: pathlib.Path) -> None:
    head, tail, other = "one two", "three", {"ids": ["b"], "text": "other"}
    for asked in ("a", text_sha256(head), text_sha256(tail)):
        folder = tmp_path / asked[:3]
        a = {"ids": ["a"], "text": head}
        old = write_prepared(folder, train=[a, other, a], validation=[other, {"ids": ["a"], "text": tail}])
        done = forget(folder, asked, ())
        assert (done.documents, done.places) == (1, 3) and done.together == ()
        after = open_prepared(folder)
        assert len(after.manifest["forgotten"]) == 2, "a text once: the copy is the same"
        assert texts(after) == ["other"] == texts(after, "validation")
        assert after.manifest["documents_out"] == old.manifest["documents_out"] - 2, "the copy was no other document"
        assert after.manifest["licences"]["CC0-1.0"] == old.manifest["licences"]["CC0-1.0"] - 2


def test_an_unknown_document_names_near_ones(prepared: Prepared, tmp_path: pathlib.Path) -> None:
    before = everything(prepared.folder)
    with pytest.raises(DataError, match=r"there is no such document[\s\S]*15 documents[\s\S]*did you mean 10.txt"):
        forget(prepared.folder, "10.tx", ())
    assert everything(prepared.folder) == before
    with pytest.raises(StorageError, match="no prepared data"):
        forget(tmp_path, "3.txt", ())
    (prepared.folder / DOCUMENTS).unlink()
    with pytest.raises(StorageError, match="does not tell which documents"):
        forget(prepared.folder, "3.txt", ())


def test_a_fault_leaves_the_data_as_it_was(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(prepared.folder)

    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(forgetting, "_manifest", fail)
    with pytest.raises(ZeroDivisionError):
        forget(prepared.folder, "3.txt", ())
    assert everything(prepared.folder) == before
    assert [path.name for path in prepared.folder.parent.iterdir()] == ["data"]


def model(folder: pathlib.Path, facts: dict[str, Any], weights: str = "") -> pathlib.Path:
    """What a saved model tells of itself, without the model."""
    folder.mkdir(parents=True)
    (folder / "trivium.json").write_text(json.dumps(facts))
    files = {"model.safetensors": {"bytes": 0, "sha256": weights}} if weights else {}
    (folder / MANIFEST).write_text(json.dumps({"format": "trivium folder 1", "files": files}))
    return folder


def run(folder: pathlib.Path, facts: dict[str, Any], weights: str = "", **config: str) -> pathlib.Path:
    model(folder / "checkpoints" / "step-00000010", facts, weights)
    (folder / "checkpoints" / "best").symlink_to("step-00000010")
    (folder / "config.yaml").write_text("".join(f"{name}: {value}\n" for name, value in config.items()))
    return folder


def test_every_run_that_saw_it_is_named(prepared: Prepared, tmp_path: pathlib.Path) -> None:
    runs = tmp_path / "runs"
    first = prepared.fingerprint
    run(runs / "base", {"data_fingerprint": first}, "b" * 64)
    run(runs / "other", {"data_fingerprint": "0" * 64}, "c" * 64)
    run(runs / "tuned", {"parent": "somewhere/else", "parent_sha256": "b" * 64, "data_fingerprint": "1" * 64}, "d" * 64)
    run(runs / "twice tuned", {"parent": "runs/tuned"})
    run(runs / "not theirs", {"parent": str(runs / "other"), "parent_sha256": "c" * 64})
    model(runs / "merged", {"parent": "x/y", "adapter": str(runs / "tuned"), "adapter_sha256": "e" * 64})
    (runs / "begun").mkdir()
    (runs / "begun" / "config.yaml").write_text(f"data: {prepared.folder}\n")
    saw = {seen.folder.name: seen.because for seen in forget(prepared.folder, "3.txt", (runs,)).runs}
    assert set(saw) == {"base", "tuned", "twice tuned", "merged", "begun"}
    assert saw["base"] == saw["begun"] == "trained on it"
    assert saw["tuned"] == f"made from {runs / 'base'}"

    second = open_prepared(prepared.folder).fingerprint
    run(runs / "later", {"data_fingerprint": second}, data=str(prepared.folder))
    # Document 4 was there from the beginning, so those who saw the first data saw it as well.
    saw = {seen.folder.name for seen in forget(prepared.folder, "4.txt", (runs,)).runs}
    assert saw == {"base", "tuned", "twice tuned", "merged", "begun", "later"}
    # Asked again of the first: nothing to remove, the same runs, and not the one that came after.
    again = forget(prepared.folder, "3.txt", (runs,))
    assert (again.documents, again.places, again.tokens) == (0, 0, 0)
    assert {seen.folder.name for seen in again.runs} == {"base", "tuned", "twice tuned", "merged", "begun"}
    # Where nobody says where to look, those of the first time are known.
    assert set(forget(prepared.folder, "3.txt", ()).runs) == set(again.runs)
