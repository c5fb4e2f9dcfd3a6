"""Parallel text from two files or one, and what is refused."""

import gzip
import pathlib

import pytest

from trivium.data.parallel import read_parallel
from trivium.errors import DataError


def write(folder: pathlib.Path, name: str, text: str) -> pathlib.Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_two_files_go_line_by_line(tmp_path: pathlib.Path, suffix: str) -> None:
    source = write(tmp_path, f"a.de{suffix}", "Ein Hund .\r\n\nZwei\u2028Katzen.\n")
    target = write(tmp_path, f"a.en{suffix}", "A dog .\n\n  Two cats.")
    assert read_parallel(source, target) == [("Ein Hund .", "A dog ."), ("Zwei\u2028Katzen.", "Two cats.")]


def test_one_file_may_hold_both_sides(tmp_path: pathlib.Path) -> None:
    wanted = [("Ein Hund", "A dog"), ("Käse", "cheese")]
    table = write(tmp_path, "a.tsv.gz", "Ein Hund\tA dog\n\nKäse\tcheese\n")
    lines = write(
        tmp_path, "a.jsonl", '{"source": "Ein Hund", "target": "A dog"}\n{"source": "Käse", "target": "cheese"}'
    )
    assert read_parallel(table) == read_parallel(lines) == wanted
    headed = write(tmp_path, "b.tsv", "source\ttarget\nEin Hund\tA dog\nKäse\tcheese\n")
    assert read_parallel(headed) == wanted


def test_files_that_do_not_belong_together_are_refused(tmp_path: pathlib.Path) -> None:
    source, target = write(tmp_path, "a", "eins\nzwei\n"), write(tmp_path, "b", "one\n")
    with pytest.raises(DataError, match=r"different numbers of lines\n  received: .*a: 2 lines, .*b: 1 lines"):
        read_parallel(source, target)
    with pytest.raises(DataError, match=r"a line has a source and no target\n  received: .*line 2: 'zwei'"):
        read_parallel(source, write(tmp_path, "c", "one\n\n"))
    with pytest.raises(DataError, match="has no translations"):
        read_parallel(source)
    with pytest.raises(DataError, match="no pairs"):
        read_parallel(write(tmp_path, "d", "\u00a0\n"), write(tmp_path, "e", "\u00a0\n"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "one cell\n"),
        ("a.tsv", "three\tcells\there\n"),
        ("a.jsonl", '{"source": "a"}\n'),
        ("a.jsonl", '{"source": "a", "target": 3}\n'),
        ("a.jsonl", "[1]\n"),
        ("a.jsonl", "[" * 100_000 + "\n"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: pathlib.Path, name: str, text: str) -> None:
    good = "a\tb\n" if name.endswith("tsv") else '{"source": "a", "target": "b"}\n'
    with pytest.raises(DataError, match=r"a line is not a pair\n  received: .*line 2"):
        read_parallel(write(tmp_path, name, good + text))


def test_the_shared_set_is_parallel(shared_data: pathlib.Path) -> None:
    folder = shared_data / "nc-multi30k"
    pairs = read_parallel(folder / "val.de.gz", folder / "val.en.gz")
    assert len(pairs) == 1014
    assert pairs[0][1].startswith("A group of men")


def test_another_encoding(tmp_path: pathlib.Path) -> None:
    for name, text in (("a.de", "Zürich\n"), ("a.en", "Zurich\n"), ("a.tsv", "Zürich\tZurich\n")):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    wanted = [("Zürich", "Zurich")]
    assert read_parallel(tmp_path / "a.de", tmp_path / "a.en", encoding="latin-1") == wanted
    assert read_parallel(tmp_path / "a.tsv", encoding="latin-1") == wanted
    with pytest.raises(DataError):
        read_parallel(tmp_path / "a.tsv")
