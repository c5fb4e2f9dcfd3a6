"""Parts: what a source holds, in a fixed order, cut so that nothing depends on how it was cut."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from trivium.data.documents import Document
from trivium.data.readers import Part, PassedOver, ReadOptions, list_parts, printable, read_part
from trivium.errors import DataError

OPTIONS = ReadOptions()


def read(source: Path, part_bytes: int = 16 << 20, options: ReadOptions = OPTIONS) -> list[Document | PassedOver]:
    found: list[Document | PassedOver] = []
    for part in list_parts(str(source), options, part_bytes=part_bytes):
        if isinstance(part, PassedOver):
            found.append(part)
        else:
            found.extend(read_part(Part.from_json(json.loads(json.dumps(part.to_json()))), options))
    return found


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize("part_bytes", [1, 7, 100, 1000, 5000])
def test_a_large_file_of_records_is_cut_where_lines_end(tmp_path: Path, part_bytes: int, ending: str) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "é" * (number % 50)}, ensure_ascii=False) for number in range(100)]
    lines[10], lines[11], lines[50] = "", "{}", "not JSON"
    path.write_text("\n".join(lines) + ending, encoding="utf-8")
    parts = [part for part in list_parts(str(path), OPTIONS, part_bytes=part_bytes) if isinstance(part, Part)]
    assert sum(part.num_bytes for part in parts) == path.stat().st_size
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert len(parts) > 1 or part_bytes == 5000
    assert read(path, part_bytes) == read(path)
    names = [found.id if isinstance(found, Document) else found.name for found in read(path, part_bytes)]
    assert names == [f"a.jsonl:{number}" for number in range(1, 101) if number != 11]


def test_a_large_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"row {number}" for number in range(1, 101)]})
    parquet.write_table(table, path, row_group_size=7, compression="none")
    parts = [part for part in list_parts(str(path), OPTIONS, part_bytes=200) if isinstance(part, Part)]
    assert len(parts) > 3
    documents = read(path, 200)
    assert documents == read(path)
    assert [(found.id, found.text) for found in documents if isinstance(found, Document)] == [
        (f"a.parquet:{number}", f"row {number}") for number in range(1, 101)
    ]


def test_a_folder_comes_in_order_with_its_licence(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "z/a.txt", "c/d/e.txt", ".hidden/x.txt", "c/.x.txt", "c/image.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "c" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (tmp_path / "a.txt").write_text("SPDX-License-Identifier: MIT")
    found = read(tmp_path, options=ReadOptions(licence="ISC"))
    assert [(each.id, each.licence) for each in found if isinstance(each, Document)] == [
        ("a.txt", "MIT"),
        ("b.txt", "ISC"),
        ("c/README.md", "CC-BY-4.0"),
        ("c/d/e.txt", "CC-BY-4.0"),
        ("z/a.txt", "ISC"),
    ]
    assert [each for each in found if isinstance(each, PassedOver)] == [
        PassedOver(name="c/image.png", reason="this kind of file is not read", detail=".png")
    ]


def test_links_of_a_folder_lead_nowhere_else_and_are_read_once(tmp_path: Path) -> None:
    for name in ("folder/a.txt", "folder/sub/b.txt", "folder/.store/c5f2", "outside/secret.txt", "outside/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"---\nlicense: mit\n---\n{name}" if "README" in name else name)
    folder = tmp_path / "folder"
    for name, target in (
        ("link.txt", "/etc/passwd"),
        ("near.txt", "../outside/secret.txt"),
        ("sub/README.md", "../../outside/README.md"),
        ("away", "../outside"),
        ("by.txt", "hop.txt"),
        ("hop.txt", "../outside/../outside/secret.txt"),
        ("again.txt", "a.txt"),
        ("sub/up", ".."),
        ("hidden", ".store"),
        ("stored.txt", ".store/c5f2"),
        ("stored-twice.txt", ".store/c5f2"),
        ("circle.txt", "round.txt"),
        ("round.txt", "circle.txt"),
        ("gone.txt", "absent.txt"),
    ):
        (folder / name).symlink_to(target)
    found = read(folder)
    assert {each.id: (each.text, each.licence) for each in found if isinstance(each, Document)} == {
        "a.txt": ("folder/a.txt", None),
        "stored-twice.txt": ("folder/.store/c5f2", None),
        "sub/b.txt": ("folder/sub/b.txt", None),
    }
    out, once = "the link leads out of the folder", "the link leads to what is read where it lies"
    assert {each.name: each.reason for each in found if isinstance(each, PassedOver)} == {
        **dict.fromkeys(("link.txt", "near.txt", "sub/README.md", "away", "by.txt", "hop.txt"), out),
        **dict.fromkeys(("again.txt", "sub/up", "stored.txt"), once),
        "hidden": "the link leads to a hidden folder",
        **dict.fromkeys(("circle.txt", "round.txt", "gone.txt"), "the file cannot be read"),
    }
    # What the user names is meant, link or not.
    (tmp_path / "named").symlink_to("outside")
    assert [each.id for each in read(tmp_path / "named") if isinstance(each, Document)] == ["README.md", "secret.txt"]
    assert [each.id for each in read(folder / "near.txt") if isinstance(each, Document)] == ["near.txt"]


def test_a_source_may_be_called_something_else(tmp_path: Path) -> None:
    (tmp_path / "stdin.txt").write_text("x")
    (part,) = list_parts(str(tmp_path / "stdin.txt"), OPTIONS, origin="-")
    assert isinstance(part, Part)
    assert (part.source, part.name, part.is_named) == ("-", "stdin.txt", True)
    assert next(read_part(part, OPTIONS)).origin == "-"


def test_what_cannot_be_read_at_all_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        list_parts(str(tmp_path / "absent"), OPTIONS)
    (tmp_path / "a.exe").write_bytes(b"x")
    with pytest.raises(DataError, match="this kind of file is not read"):
        list_parts(str(tmp_path / "a.exe"), OPTIONS)
    with pytest.raises(DataError, match="no such encoding"):
        ReadOptions(encoding="utf-99")


def test_a_file_that_goes_away_between_listing_and_reading_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (part,) = list_parts(str(tmp_path), OPTIONS)
    (tmp_path / "a.txt").unlink()
    assert isinstance(part, Part)
    assert [str(found) for found in read_part(part, OPTIONS)] == [
        "a.txt: the file cannot be read (No such file or directory)"
    ]


def test_names_can_be_printed_and_stay_different() -> None:
    names = ["a b.txt", "é.txt", "a\nb", "a\\nb", "\udcff", "\x1b[2J", "文.txt"]
    shown = [printable(name) for name in names]
    assert len(set(shown)) == len(names)
    assert all(name.isprintable() and name.encode() for name in shown)
    assert shown[:2] == names[:2]
