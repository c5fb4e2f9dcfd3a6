"""Folders change places whole, and what a failed or killed replacement left is put right."""

import pathlib

import pytest

from trivium.runtime import atomic


def make(path: pathlib.Path, content: str) -> pathlib.Path:
    path.mkdir()
    (path / "a").write_text(content)
    return path


def test_a_second_rename_that_fails_brings_the_earlier_folder_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(tmp_path / "f", "first")
    partial = make(atomic.hidden(target, atomic.PARTIAL), "second")
    rename = atomic.rename

    def fail(source: pathlib.Path, name: pathlib.Path) -> None:
        if source == partial:
            raise OSError(5, "Input/output error")
        rename(source, name)

    monkeypatch.setattr(atomic, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        atomic.put_in_place(partial, target)
    assert (target / "a").read_text() == "first"
    monkeypatch.undo()
    atomic.put_in_place(partial, target)
    assert (target / "a").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_a_killed_process_left_is_settled(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "f"
    make(atomic.hidden(target, atomic.REPLACED), "first")
    make(atomic.hidden(target, atomic.PARTIAL), "torn")
    atomic.settle(target)
    assert (target / "a").read_text() == "first"
    make(atomic.hidden(target, atomic.REPLACED), "zeroth")
    atomic.settle(target)
    assert (target / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
