"""A folder exists whole or not at all, and tells when a byte of it has changed."""

import errno
import json
import pathlib
import random

import pytest

from trivium.checkpoints import folder as folders
from trivium.checkpoints.folder import (
    MANIFEST,
    clear_leftovers,
    is_complete,
    new_folder,
    remove_folder,
    replace_file,
    replaceable,
    verify_folder,
)
from trivium.errors import CheckpointError, StorageError
from trivium.runtime import atomic


def save(target: pathlib.Path, content: str = "first") -> None:
    with new_folder(target) as writer:
        writer.write_text("a.txt", content)
        writer.write("inner/b.bin", [b"x" * 1000, memoryview(b"y" * 1000)])
        writer.write_json("c.json", {"name": content})


def names(parent: pathlib.Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir())


def test_writes_reads_and_replaces(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "deep" / "folder"
    save(target)
    verify_folder(target)
    assert (target / "inner" / "b.bin").read_bytes() == b"x" * 1000 + b"y" * 1000
    save(target, "second")
    verify_folder(target)
    assert (target / "a.txt").read_text() == "second"
    assert names(tmp_path / "deep") == ["folder"]


def test_large_pieces_are_written_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_CHUNK_BYTES", 7)
    save(tmp_path / "f")
    verify_folder(tmp_path / "f")
    assert (tmp_path / "f" / "inner" / "b.bin").stat().st_size == 2000


def test_every_file_and_directory_is_synced_before_the_rename(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    write, rename = folders._write, atomic.rename
    monkeypatch.setattr(folders, "_write", lambda file, data: (events.append("write"), write(file, data)))
    monkeypatch.setattr(atomic, "sync", lambda descriptor: events.append("sync"))
    monkeypatch.setattr(atomic, "rename", lambda a, b: (events.append("rename"), rename(a, b)))
    save(tmp_path / "f")
    joined = " ".join(events)
    assert joined.startswith("write sync write write sync write sync")
    # inner/, the manifest, the folder, and after the rename its parent
    assert joined.endswith("sync write sync sync rename sync")


def test_a_failing_block_leaves_the_earlier_folder(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "f")

    def fail() -> None:
        with new_folder(tmp_path / "f") as writer:
            writer.write_text("a.txt", "second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    verify_folder(tmp_path / "f")
    assert (tmp_path / "f" / "a.txt").read_text() == "first"
    assert names(tmp_path) == ["f"]


def test_saves_over_what_a_killed_process_left(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".f.partial" / "inner").mkdir(parents=True)
    (tmp_path / ".f.partial" / "a.txt").write_text("torn")
    save(tmp_path / "f")
    verify_folder(tmp_path / "f")
    assert names(tmp_path) == ["f"]


def test_a_replacement_killed_between_its_renames_is_undone(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "f")
    (tmp_path / "f").rename(tmp_path / ".f.replaced")
    (tmp_path / ".g.partial").mkdir()
    (tmp_path / ".h.removed").mkdir()
    (tmp_path / ".other").mkdir()
    clear_leftovers(tmp_path)
    verify_folder(tmp_path / "f")
    assert names(tmp_path) == [".other", "f"]


def test_remove_folder(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "f")
    remove_folder(tmp_path / "f")
    assert names(tmp_path) == []


def test_one_flipped_bit_is_found_at_each_of_100_offsets(tmp_path: pathlib.Path) -> None:
    save(tmp_path / "f")
    files = [path for path in (tmp_path / "f").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    generator = random.Random(0)
    offsets = sorted({*range(total - 40, total), *generator.sample(range(total), 100)})
    for offset in offsets:
        start = 0
        for path in files:
            size = path.stat().st_size
            if offset < start + size:
                intact = path.read_bytes()
                altered = bytearray(intact)
                altered[offset - start] ^= 1 << generator.randrange(8)
                path.write_bytes(altered)
                with pytest.raises(CheckpointError) as error:
                    verify_folder(tmp_path / "f")
                assert path.name in str(error.value) or path.name == MANIFEST
                path.write_bytes(intact)
                break
            start += size
    verify_folder(tmp_path / "f")


@pytest.mark.parametrize("damage", ["missing", "truncated", "no manifest", "torn manifest", "no folder"])
def test_damage_is_named(damage: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "f"
    save(folder)
    if damage == "missing":
        (folder / "a.txt").unlink()
    elif damage == "truncated":
        (folder / "inner" / "b.bin").write_bytes(b"x" * 999)
    elif damage == "no manifest":
        (folder / MANIFEST).unlink()
    elif damage == "torn manifest":
        (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:50])
    else:
        folder = tmp_path / "absent"
    with pytest.raises(CheckpointError) as error:
        verify_folder(folder)
    expected = {
        "missing": "a.txt: missing",
        "truncated": "inner/b.bin: 999 bytes instead of 2000",
        "no manifest": "has no manifest.json",
        "torn manifest": "manifest.json is damaged",
        "no folder": "no such checkpoint folder",
    }
    assert expected[damage] in str(error.value)
    assert "fix:" in str(error.value)
    assert is_complete(folder) == (damage not in ("no manifest", "no folder"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_or_broken_disk_leaves_the_earlier_folder(
    number: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "f")
    total = sum(path.stat().st_size for path in (tmp_path / "f").rglob("*") if path.is_file())
    write = folders._write
    for limit in range(0, total, total // 10):
        left = limit

        def limited(file, data: memoryview) -> None:
            nonlocal left
            write(file, data[: min(left, len(data))])
            if len(data) > left:
                raise OSError(number, "the disk says no")
            left -= len(data)

        monkeypatch.setattr(folders, "_write", limited)
        with pytest.raises(StorageError) as error:
            save(tmp_path / "f", "second")
        assert "what was saved before is intact" in str(error.value)
        assert "--output" in str(error.value)
        assert error.value.exit_code == 2
        verify_folder(tmp_path / "f")
        assert (tmp_path / "f" / "a.txt").read_text() == "first"
        assert names(tmp_path) == ["f"]
    with pytest.raises(StorageError, match="single"):
        replace_file(tmp_path / "single", b"x" * (total + 1))
    assert names(tmp_path) == ["f"]


def test_nan_is_no_json(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="JSON"), new_folder(tmp_path / "f") as writer:
        writer.write_json("c.json", float("nan"))
    assert names(tmp_path) == []


def test_only_our_own_folders_are_replaced(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "f"
    save(folder)
    (folder / ".a.txt.partial").write_text("a leftover")
    assert replaceable(folder) == folder
    (tmp_path / "link").symlink_to(folder)
    assert replaceable(tmp_path / "link") == folder
    (folder / "inner" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"received: .*f: inner/mine\.txt\n(.|\n)*fix: "):
        replaceable(folder)
    (folder / "inner" / "mine.txt").unlink()
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(StorageError, match=r"a\.txt, c\.json"):
        replaceable(folder)
    with pytest.raises(StorageError, match="is a file"):
        replaceable(folder / "a.txt")
    monkeypatch.chdir(tmp_path)
    for path in (".", "..", "/", ""):
        with pytest.raises(StorageError, match="current folder"):
            replaceable(path)


@pytest.mark.parametrize("files", [{"a": 3}, {"a": {"bytes": "1", "sha256": "x"}}, {"a": {"bytes": 1}}, []])
def test_a_manifest_of_other_types_is_damaged(tmp_path: pathlib.Path, files: object) -> None:
    content = {"format": folders._FORMAT, "files": files}
    (tmp_path / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
    (tmp_path / "a").write_text("x")
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        verify_folder(tmp_path)


def test_a_manifest_is_only_given_up_where_there_is_nothing_to_resume(tmp_path: pathlib.Path) -> None:
    for name, advised in (("a.txt", True), ("resume/state.json", False)):
        with new_folder(tmp_path / "f") as writer:
            writer.write_text(name, "x")
        (tmp_path / "f" / name).write_text("y")
        with pytest.raises(CheckpointError) as error:
            verify_folder(tmp_path / "f")
        assert "copy the folder again" in str(error.value)
        assert ("delete manifest.json" in str(error.value)) == advised
