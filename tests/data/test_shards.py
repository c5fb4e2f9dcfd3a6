"""Shards: what is written is read, every altered bit is noticed, a full disk leaves nothing half-written."""

import errno
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivium.data import shards
from trivium.data.shards import TokenStore, write_shards
from trivium.errors import DataError, StorageError

DOCUMENTS = [(list(range(n, n + 40 + n % 7)), 100 + n) for n in range(60)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tmp_path / "train", DOCUMENTS, vocabulary_size=300, shard_tokens=1000)
    return tmp_path / "train"


@pytest.mark.parametrize("vocabulary_size", [300, 100_000])
def test_what_is_written_is_read(tmp_path: Path, vocabulary_size: int) -> None:
    store = write_shards(tmp_path / "s", DOCUMENTS, vocabulary_size=vocabulary_size, shard_tokens=1000)
    store = TokenStore.open(tmp_path / "s")
    assert len(list((tmp_path / "s").glob("tokens-*.bin"))) == 3
    assert store.num_documents == 60
    assert store.num_bytes == sum(text_bytes for _, text_bytes in DOCUMENTS)
    assert store.num_tokens == sum(len(ids) for ids, _ in DOCUMENTS)
    assert [store.document(i).tolist() for i in range(60)] == [ids for ids, _ in DOCUMENTS]
    everything = np.concatenate([ids for ids, _ in DOCUMENTS])
    places = np.random.default_rng(0).integers(0, len(everything), size=(20, 30))
    assert np.array_equal(store.gather(places), everything[places])


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    def fingerprint(name: str, documents: list[tuple[list[int], int]]) -> str:
        return write_shards(tmp_path / name, documents, vocabulary_size=300).fingerprint

    assert fingerprint("a", DOCUMENTS) == fingerprint("b", DOCUMENTS) != fingerprint("c", DOCUMENTS[:-1])


def test_one_flipped_bit_is_detected_wherever_it_is(folder: Path) -> None:
    chance = random.Random(0)
    files = sorted(folder.iterdir())
    assert {file.name for file in files} >= {"shards.json", "documents.bin", "tokens-00000.bin"}
    for trial in range(100):
        file = files[trial % len(files)]
        content = file.read_bytes()
        place = chance.randrange(len(content) * 8)
        altered = bytearray(content)
        altered[place // 8] ^= 1 << place % 8
        file.write_bytes(altered)
        with pytest.raises(DataError, match=r"truncated or altered\n  received: .*" + file.name):
            TokenStore.open(folder)
        file.write_bytes(content)
    TokenStore.open(folder)


def test_truncated_and_missing_files_are_named(folder: Path) -> None:
    shard = folder / "tokens-00001.bin"
    content = shard.read_bytes()
    shard.write_bytes(content[:-2])
    for verify in (True, False):
        with pytest.raises(DataError, match=r"tokens-00001.bin: [\d,]+ bytes instead of"):
            TokenStore.open(folder, verify=verify)
    shard.unlink()
    with pytest.raises(DataError, match=r"tokens-00001.bin: missing"):
        TokenStore.open(folder)
    with pytest.raises(StorageError, match="no token shards here"):
        TokenStore.open(folder.parent)


def test_a_header_of_something_else_is_refused(folder: Path) -> None:
    (folder / "shards.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(DataError, match="not a header of this format"):
        TokenStore.open(folder)
    (folder / "shards.json").write_text("[")
    with pytest.raises(DataError, match="not JSON"):
        TokenStore.open(folder)


def test_a_full_disk_leaves_the_old_data_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, append = Path.write_bytes, shards._append
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for failing in range(10):
        written = 0

        def until_full(write: Any, limit: int = failing * 500) -> Any:
            def limited(target: Path, content: bytes) -> None:
                nonlocal written
                written += len(content)
                if written > limit:
                    write(target, content[: len(content) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device", str(target))
                write(target, content)

            return limited

        monkeypatch.setattr(Path, "write_bytes", until_full(real))
        monkeypatch.setattr(shards, "_append", until_full(append))
        with pytest.raises(StorageError, match=r"No space left on device\n.*\n  fix:      free some space"):
            write_shards(folder, DOCUMENTS * 2, vocabulary_size=300, shard_tokens=1000)
        monkeypatch.undo()
        assert [path.name for path in folder.parent.iterdir()] == ["train"]
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    TokenStore.open(folder)


def test_the_kernel_refusing_a_write_is_reported(tmp_path: Path, repository: Path) -> None:
    """A real failing write: the process may not make files of more than 4 KiB."""
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from trivium.data.shards import write_shards\n"
        "write_shards('out', [(list(range(9000)), 1)], vocabulary_size=9000)\n"
    )
    environment = {"PYTHONPATH": str(repository), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "StorageError: the data cannot be written" in done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(path: Path, *args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(StorageError, match="Permission denied"):
        write_shards(tmp_path / "x", DOCUMENTS, vocabulary_size=300)


def test_replacing_keeps_no_old_file(folder: Path) -> None:
    store = write_shards(folder, DOCUMENTS[:3], vocabulary_size=300)
    assert store.num_documents == 3
    assert sorted(file.name for file in folder.iterdir()) == ["documents.bin", "shards.json", "tokens-00000.bin"]


def test_what_is_written_piece_by_piece_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_shards(tmp_path / "whole", DOCUMENTS * 2, vocabulary_size=300, shard_tokens=1000)
    monkeypatch.setattr(shards, "_BUFFERED_TOKENS", 7)
    pieces = write_shards(tmp_path / "pieces", DOCUMENTS * 2, vocabulary_size=300, shard_tokens=1000)
    assert pieces.fingerprint == whole.fingerprint
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "pieces" / file.name).read_bytes() == file.read_bytes()
    TokenStore.open(tmp_path / "pieces")
