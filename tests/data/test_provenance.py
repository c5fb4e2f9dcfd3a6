"""What prepared data tells of its documents, and what models tell of it."""

import hashlib
import pathlib

import pytest

from tests.data.prepared_folder import write_prepared
from trivium.data.prepared import DOCUMENTS
from trivium.data.provenance import data_facts, stored_documents, text_sha256, tokenizer_sha256
from trivium.errors import DataError, StorageError


def test_every_stored_document_is_told(tmp_path: pathlib.Path) -> None:
    prepared = write_prepared(tmp_path / "data", train=[{"ids": ["a", "b"], "text": "é", "licence": None}])
    first, *others = stored_documents(prepared.folder)
    assert (first.side, first.index, first.ids, first.source, first.licence) == ("train", 0, ("a", "b"), "notes", None)
    assert first.sha256 == text_sha256("é") == hashlib.sha256("é".encode()).hexdigest()
    assert [(document.side, document.index) for document in others] == [("validation", n) for n in range(3)]
    assert data_facts(prepared) == {"data": str(prepared.folder), "data_fingerprint": prepared.fingerprint}
    assert tokenizer_sha256(prepared.folder) == prepared.manifest["tokenizer"]["sha256"]
    assert tokenizer_sha256(tmp_path) is None


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[1]",
        "{}",
        "[" * 100_000,
        '{"side": "other", "index": 0, "ids": ["a"], "sha256": ""}',
        '{"side": "train", "index": "0", "ids": ["a"], "sha256": ""}',
        '{"side": "train", "index": 0, "ids": "a", "sha256": ""}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: pathlib.Path, line: str) -> None:
    prepared = write_prepared(tmp_path / "data")
    path = prepared.folder / DOCUMENTS
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"damaged\n.*documents.jsonl, line 16"):
        list(stored_documents(prepared.folder))


def test_data_of_an_earlier_version_does_not_tell(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StorageError, match="does not tell which documents"):
        list(stored_documents(tmp_path))
