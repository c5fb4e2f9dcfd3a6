"""Parallel text: a source and its translation, from two files line by line or from one file of pairs.

pairs = read_parallel(Path("train.de.gz"), Path("train.en.gz"))
pairs = read_parallel(Path("train.tsv"))       # source, tab, target; or .jsonl with "source" and "target"
"""

import json
from collections.abc import Iterator
from pathlib import Path

from trivium.data.documents import read_text
from trivium.errors import DataError

_TABLE, _JSON = ".tsv", ".jsonl"
_HEADER = ("source", "target")
_SHOWN = 60


def read_parallel(source: Path, target: Path | None = None, *, encoding: str = "utf-8") -> list[tuple[str, str]]:
    """(source, target) of every line, white space around them removed; lines empty on both sides are left out.

    With ``target`` the n-th line of one file is the translation of the n-th line of the other. Without, ``source`` is
    a .tsv of two columns (whose first line may be the header "source", "target") or a .jsonl of {"source": ...,
    "target": ...}. Files may be compressed.

    Raises:
        DataError: files of different length, a line with one side empty, a line of another form, or no pair at all.
    """
    pairs = _of_one_file(source, encoding) if target is None else _of_two_files(source, target, encoding)
    where = str(source) if target is None else f"{source} and {target}"
    found = []
    for number, pair in pairs:
        if not all(pair):
            if not any(pair):
                continue
            side, other = ("source", "target") if not pair[0] else ("target", "source")
            raise DataError(
                f"a line has a {other} and no {side}",
                received=f"{where}, line {number}: {(pair[0] or pair[1])[:_SHOWN]!r}",
                fix="remove the line on both sides",
            )
        found.append(pair)
    if not found:
        raise DataError("there are no pairs of source and target", received=where, fix="check the files")
    return found


def read_lines(path: Path, *, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file, white space around them removed; the end of the file is not a line."""
    text = read_text(path, encoding)
    # Not splitlines: a line separator inside a sentence (U+2028, a form feed) must not shift one side.
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def is_pair_file(path: Path) -> bool:
    """Whether a file is one that holds both sides, by its name."""
    return _suffix(path) in (_TABLE, _JSON)


def _of_two_files(source: Path, target: Path, encoding: str) -> Iterator[tuple[int, tuple[str, str]]]:
    sides = read_lines(source, encoding=encoding), read_lines(target, encoding=encoding)
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            "the two files are not parallel: they have different numbers of lines",
            received=f"{source}: {len(sides[0]):,} lines, {target}: {len(sides[1]):,} lines",
            expected="as many lines in both, line n of one the translation of line n of the other",
            fix="check that they belong together and that no line was lost",
        )
    yield from enumerate(zip(*sides, strict=True), start=1)


def _of_one_file(path: Path, encoding: str) -> Iterator[tuple[int, tuple[str, str]]]:
    suffix = _suffix(path)
    if suffix not in (_TABLE, _JSON):
        raise DataError(
            "one file of text has no translations",
            received=path,
            expected="two files line by line, or one .tsv of two columns, or one .jsonl with source and target",
            fix="name the file of the translations too",
        )
    for number, line in enumerate(read_text(path, encoding).split("\n"), start=1):
        if not line.strip():
            continue
        pair = _of_table(line) if suffix == _TABLE else _of_json(line)
        if pair == _HEADER and number == 1:
            continue
        if pair is None:
            raise DataError(
                "a line is not a pair",
                received=f"{path}, line {number}: {line[:_SHOWN]!r}",
                expected="source, tab, target" if suffix == _TABLE else '{"source": "...", "target": "..."}',
            )
        yield number, pair


def _of_table(line: str) -> tuple[str, str] | None:
    cells = line.split("\t")
    return (cells[0].strip(), cells[1].strip()) if len(cells) == 2 else None


def _of_json(line: str) -> tuple[str, str] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    sides = record.get("source"), record.get("target")
    if not all(isinstance(side, str) for side in sides):
        return None
    return str(sides[0]).strip(), str(sides[1]).strip()


def _suffix(path: Path) -> str:
    """.tsv of train.tsv and of train.tsv.gz."""
    inner = [suffix for suffix in path.suffixes if suffix in (_TABLE, _JSON)]
    return inner[-1] if inner else path.suffix
