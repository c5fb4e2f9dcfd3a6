"""What folders tell of where they come from, and the hashes of weights."""

import hashlib
import pathlib

import pytest

from trivium.checkpoints.folder import new_folder
from trivium.checkpoints.provenance import parent_facts, read_description, weights_sha256
from trivium.errors import CheckpointError


def test_the_hash_of_weights_is_what_sha256sum_prints(tmp_path: pathlib.Path) -> None:
    with new_folder(tmp_path / "one") as writer:
        writer.write("model.safetensors", b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert weights_sha256(tmp_path / "one") == weights_sha256(tmp_path / "one", read=True) == digest
    with new_folder(tmp_path / "two") as writer:
        writer.write("model-00002-of-00002.safetensors", b"b")
        writer.write("model-00001-of-00002.safetensors", b"a")
    lines = "".join(
        f"{hashlib.sha256(content).hexdigest()}  model-0000{n}-of-00002.safetensors\n"
        for n, content in ((1, b"a"), (2, b"b"))
    )
    assert weights_sha256(tmp_path / "two") == hashlib.sha256(lines.encode()).hexdigest()
    assert weights_sha256(tmp_path) is None


def test_the_manifest_is_believed_unless_the_files_are_asked_for(tmp_path: pathlib.Path) -> None:
    with new_folder(tmp_path / "one") as writer:
        writer.write("model.safetensors", b"weights")
    before = weights_sha256(tmp_path / "one")
    (tmp_path / "one" / "model.safetensors").write_bytes(b"other")
    assert weights_sha256(tmp_path / "one") == before != weights_sha256(tmp_path / "one", read=True)


def test_a_parent_that_is_not_here_has_no_hash(tmp_path: pathlib.Path) -> None:
    assert parent_facts(tmp_path / "nothing", named="some/model") == {"parent": "some/model"}


def test_a_description_that_cannot_be_read_is_refused(tmp_path: pathlib.Path) -> None:
    assert read_description(tmp_path) == {}
    for content, said in (("{", "cannot be read as JSON"), ("[1]", "is not a mapping"), ("[" * 100_000, "as JSON")):
        (tmp_path / "trivium.json").write_text(content)
        with pytest.raises(CheckpointError, match=said):
            read_description(tmp_path)
