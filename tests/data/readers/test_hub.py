"""Data sets of the hub: what is asked for, and what is made of the answer."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from trivium.data.documents import Document
from trivium.data.readers import Part, ReadOptions, list_parts, read_part
from trivium.errors import DataError


def test_a_data_set_is_read_with_the_licence_of_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Card")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text('{"text": "one"}\n')
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(name: str, **settings: Any) -> str:
        asked.append((name, settings))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    parts = [part for part in list_parts("hub:owner/name@v1.0", ReadOptions()) if isinstance(part, Part)]
    documents = [found for part in parts for found in read_part(part, ReadOptions())]
    assert [(d.id, d.origin, d.licence) for d in documents if isinstance(d, Document)] == [
        ("data/train.jsonl:1", "hub:owner/name@v1.0", "Apache-2.0")
    ]
    ((name, settings),) = asked
    assert (name, settings["revision"], settings["repo_type"]) == ("owner/name", "v1.0", "dataset")
    assert not any(pattern.endswith(".py") for pattern in settings["allow_patterns"])


def test_the_links_of_the_cache_are_followed_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, blobs = tmp_path / "datasets--o--n" / "snapshots" / "0a1b", tmp_path / "datasets--o--n" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "f00d").write_text('{"text": "one"}\n')
    (snapshot / "train.jsonl").symlink_to("../../blobs/f00d")
    (tmp_path / "secret.jsonl").write_text('{"text": "two"}\n')
    (snapshot / "zz.jsonl").symlink_to("../../../secret.jsonl")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    parts = list(list_parts("hub:o/n", ReadOptions()))
    assert [(part.name, isinstance(part, Part)) for part in parts] == [("train.jsonl", True), ("zz.jsonl", False)]


def test_what_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(name: str, **settings: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(DataError, match=r"cannot be had from the hub\n  received: hub:owner/name: no network"):
        list_parts("hub:owner/name", ReadOptions())
    for wrong in ("hub:", "hub:a/b/c", "hub:../x y", "hub:a@b@c", "hub:a/b@../../c"):
        with pytest.raises(DataError, match="no name of a data set"):
            list_parts(wrong, ReadOptions())


@pytest.mark.network
def test_a_real_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    options = ReadOptions(text_field="sentence")
    parts = [part for part in list_parts("hub:stanfordnlp/sst2", options) if isinstance(part, Part)]
    assert any(isinstance(found, Document) for found in read_part(parts[-1], options))
