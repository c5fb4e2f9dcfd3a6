"""Files that were made to harm whoever reads them. All are made here; none is kept in the repository.

Each comes with the reason that must be given for it, as a pattern; None where its text is harmless and may be read.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow
from pyarrow import parquet

from tests.data.hostile.pdfs import pdfs

GOOD = {"good.txt": b"good text", "good.jsonl": b'{"text": "good"}\n{"text": "record"}\n', "zz-last/good.md": b"last"}
"""What stands beside them and must be read."""

_EXPANDS = "expands beyond the limit"
_DEEP = 100_000
LARGE = 10_000_000


def write_all(folder: Path, canary: Path, *, large: int = LARGE) -> dict[str, str | None]:
    """Write every file into ``folder``. What runs or is written through any of them creates ``canary``.

    ``large`` is the size in bytes of what is long; a bomb expands to ten times as much, and must to above 16 MiB.

    Returns:
        The pattern of the reason for each name, as ids show it.
    """
    expected: dict[str, str | None] = {}
    for make in (_archives, _archives_with_names, _pages, _records, _json, _yaml, pdfs, _tables, _parquet, _encodings):
        for name, content, reason in make(canary, large):
            (folder / name).write_bytes(content)
            expected[name] = reason
    for name, content in GOOD.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return expected | _special(folder)


def _special(folder: Path) -> dict[str, str | None]:
    """What is no regular file, or has a name that is none."""
    os.mkfifo(folder / "fifo.txt")
    (folder / "dangling.txt").symlink_to(folder / "absent")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "folder.txt").mkdir()
    (folder / "folder.txt" / "inside.txt").write_bytes(b"inside a folder with the name of a file")
    (folder / "parent").symlink_to(folder)
    (folder / "line\nend\x1b[31m.txt").write_bytes(b"a name of two lines")
    with open(os.fsencode(folder) + b"/no-utf8-\xff.txt", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"a name that is no UTF-8")
    return {
        "fifo.txt": "no regular file",
        "dangling.txt": "cannot be read",
        "loop.txt": "cannot be read",
        "folder.txt/inside.txt": None,
        r"line\nend\x1b[31m.txt": None,
        r"no-utf8-\udcff.txt": None,
    }


Files = Iterator[tuple[str, bytes, str | None]]


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(*members: tarfile.TarInfo, contents: tuple[bytes, ...] = ()) -> bytes:
    """A tar archive of ``members``, the first of which have ``contents``, with a good one at the end."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for index, member in enumerate(members):
            content = contents[index] if index < len(contents) else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        last = tarfile.TarInfo("last.txt")
        last.size = 4
        archive.addfile(last, io.BytesIO(b"last"))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A header of a tar archive."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, link
    return header


def _archives(canary: Path, large: int) -> Files:
    zeros = b"\x00" * (10 * large)
    spaces = gzip.compress(b" " * (10 * large), 1)
    yield "bomb.zip", zipped({"a.txt": b"before", "bomb.txt": zeros, "z.txt": b"after"}), _EXPANDS
    yield "nested.zip", zipped({"a.txt": b"a", "inner.zip": zipped({"b.txt": b"b"})}), "archive in an archive"
    yield "nested.tar", tarred(member("inner.tar.gz"), contents=(gzip.compress(tarred()),)), "archive in an archive"
    yield "bomb.jsonl.gz", spaces, _EXPANDS
    yield "bomb.txt.gz", gzip.compress(zeros, 1), _EXPANDS
    yield "bomb.tar.gz", gzip.compress(tarred(member("a.txt"), contents=(zeros,)), 1), _EXPANDS
    whole = gzip.compress(b'{"text": "one"}\n' * 1000)
    yield "truncated.jsonl.gz", whole[:-20], "cut short"
    yield "damaged.jsonl.gz", whole[:40] + b"\xff" * 20 + whole[60:], "damaged"
    yield "tail.jsonl.gz", whole + b"something else", "damaged"
    yield "name.jsonl.gz", b"\x1f\x8b\x08\x08" + b"\x00" * 6 + b"n" * large, "cut short"
    yield "bomb.jsonl.zst", pyarrow.compress(b" " * (10 * large), "zstd", asbytes=True), _EXPANDS
    yield "bomb.txt.bz2", bz2.compress(zeros, 1), _EXPANDS
    yield "bomb.tar.xz", lzma.compress(tarred(member("a.txt"), contents=(zeros,)), preset=0), _EXPANDS
    yield "truncated.txt.bz2", bz2.compress(whole * 9)[:-20], "cut short"
    yield "damaged.txt.xz", lzma.compress(b"a" * 500)[:-30] + b"\xff" * 30, "damaged"
    yield "tail.txt.xz", lzma.compress(b"a" * 500) + b"something else", "damaged"
    # The header of a block that asks for a dictionary of 4 GiB: filter 0x21 (LZMA2), one byte of properties, 40.
    header = b"\x02\x00\x21\x01\x28" + bytes(3)
    asking = lzma.compress(b"")[:12] + header + zlib.crc32(header).to_bytes(4, "little") + b"\x01" + bytes(50)
    yield "memory.txt.xz", asking, "damaged"
    archive = zipped({"a.txt": b"text " * 1000, "b.txt": b"other " * 1000})
    yield "truncated.zip", archive[: len(archive) // 2], "damaged"
    yield "damaged.zip", archive[:45] + b"\xff" * 10 + archive[55:], "damaged"
    yield "no.zip", b"no archive", "damaged"
    yield "truncated.tar", tarred(member("a.txt"), contents=(b"x" * 5000,))[:3000], "cut short"
    yield "no.tar", b"no archive" * 100, "damaged"
    many = zipped({})[:-22] + b"PK\x05\x06" + b"\x00" * 4 + b"\xff\xff" * 2 + b"\xff\xff\xff\x7f" + b"\x00" * 6
    yield "directory.zip", many, "too many members"


def _archives_with_names(canary: Path, large: int) -> Files:
    up = "../" * 40
    names = {f"{up}{canary}": b"x", str(canary): b"x", "C:\\x.txt": b"x", "..\\x.txt": b"x", "a/../../x.txt": b"x"}
    yield "names.zip", zipped({"ok.txt": b"ok", **names}), "outside the archive"
    yield "names.tar", tarred(*(member(name) for name in names), contents=tuple(names.values())), "outside the archive"
    yield "symlink.tar", tarred(member("l.txt", tarfile.SYMTYPE, "/etc/passwd")), "link in an archive"
    yield "hardlink.tar", tarred(member("l.txt", tarfile.LNKTYPE, "/etc/passwd")), "link in an archive"
    yield "device.tar", tarred(member("d.txt", tarfile.CHRTYPE)), "device"
    yield "through.tar", tarred(member("d", tarfile.SYMTYPE, str(canary.parent)), member(f"d/{canary.name}")), "link"
    link = zipfile.ZipInfo("l.txt")
    link.external_attr = 0o120777 << 16
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    yield "symlink.zip", target.getvalue(), "link in an archive"
    encrypted = bytearray(zipped({"e.txt": b"secret"}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + place] |= 1
    yield "encrypted.zip", bytes(encrypted), "encrypted"
    header = tarfile.TarInfo("negative.txt").tobuf()
    negative = bytearray(header)
    negative[124:136] = b"\xff" * 12  # -1, in base 256
    negative[148:156] = b"%06o\x00 " % (256 + sum(negative[:148]) + sum(negative[156:512]))
    yield "negative.tar", bytes(negative) + bytes(1024), "damaged"
    pax = tarfile.TarInfo("pax")
    pax.type = tarfile.XHDTYPE
    yield "pax.tar", tarred(pax, contents=(b"1" * 1_000_000,)), "damaged"


def _pages(canary: Path, large: int) -> Files:
    touch = f"require('fs').writeFileSync('{canary}', '')"
    yield "one-line.html", b"<p>some words in a row " * (large // 24), None
    yield "deep.html", b"<div>" * _DEEP + b"x", "cannot be parsed"
    yield "deep-inline.html", b"<b><i><u>" * _DEEP + b"x", "cannot be parsed"
    yield "attributes.html", b"<p " + b" ".join(b"a%d=1" % i for i in range(_DEEP)) + b">x", "cannot be parsed"
    yield "unclosed.html", b"<table><tr><td><ul><li><a href='<b>text <!-- <script> <p" * 50, None
    yield (
        "entities.html",
        b"<!DOCTYPE x [<!ENTITY a '&a;&a;'>]><p>&a;&a;" + b"&amp;&#x41;&#9999999;" * (large // 100),
        None,
    )
    yield "brackets.html", b"<p>x" + b"<" * (large // 2), None
    yield "script.html", f'<script>{touch}</script><img src=x onerror="{touch}"><p>shown'.encode(), None
    yield "only-script.html", f"<script>{touch}</script>".encode(), "empty"
    yield "utf7.html", b"<meta charset=utf-7><p>+ADw-script+AD4- plain", None
    yield "lies.html", b"<meta charset=shift_jis><p>" + bytes(range(0x80, 0x100)) * 50, "not encoded in"


def _records(canary: Path, large: int) -> Files:
    def line(text: str) -> bytes:
        return json.dumps({"text": text}).encode() + b"\n"

    yield "deep.jsonl", b"[" * _DEEP + b"\n" + b'{"a":' * _DEEP + b"\n" + line("after"), "not JSON"
    yield "digits.jsonl", b'{"text": "x", "n": ' + b"1" * _DEEP + b"}\n" + line("after"), "not JSON"
    yield "exponent.jsonl", b'{"text": "x", "n": ' + b"1" * _DEEP + b"e999999999}\n", None
    yield "keys.jsonl", b'{"text": "first", "text": "last"}\n{"text": NaN}\n', "holding a string"
    yield "surrogates.jsonl", b'{"text": "a\\ud800b", "id": "\\udfff"}\n' + line("after"), None
    yield "nul.jsonl", b'{"text": "a\\u0000b"}\n{"text": "a\x00b"}\n' + line("after"), "not JSON"
    yield "one-line.jsonl", line("word " * (large // 10)), None
    yield "long-line.jsonl", b'{"text": "' + b"a" * (17 << 20) + b'"}\n' + line("after"), "too long"
    yield (
        "fields.jsonl",
        b'{"text": 1}\n{"text": {}}\n[]\nnull\n"text"\n{}\n' + line("after"),
        "no field",
    )
    yield "types.jsonl", b'{"text": "x", "id": {"a": 1}, "licence": [1], "label": 1e400, "group": true}\n', None
    yield "broken.jsonl", b'{"text": "\xff"}\n{"text": \n' + line("after"), "not encoded"
    yield "reduce.jsonl", line(f"cos\nsystem\n(S'touch {canary}'\ntR."), None


def _json(canary: Path, large: int) -> Files:
    yield "depth.json", b'[{"text": "before"}, ' + b"[" * large, "no JSON"
    yield "commas.json", b'[{"text": "before"}' + b"," * large, "no JSON"
    yield "cut.json", b'[{"text": "before"}, {"text": "af', "cut short"
    yield "follows.json", b'[{"text": "before"}] {"text": "after"}', "no JSON"
    yield "quotes.json", b'[{"text": "before"}, "' + b'\\"' * (large // 2), "cut short"
    yield "string.json", b'[{"text": "before"}, {"text": "' + b"a" * (17 << 20) + b'"}, {"text": "after"}]', "too long"
    yield "settings.json", b'{"name": "left-pad", "text": {"a": [1, 2]}}', "kind of file"
    yield (
        "types.json",
        b'[{"text": "before"}, 1, null, "x", [{"text": "y"}], {"text": 1}, {"text": "after"}]',
        "no JSON",
    )


def _yaml(canary: Path, large: int) -> Files:
    tag = f"!!python/object/apply:os.system ['touch {canary}']"
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    yield "tags.yaml", f"a: {tag}\n".encode(), None
    yield "tags.md", f"---\nlicense: {tag}\na: {tag}\n---\ntext".encode(), None
    yield "README.md", f"---\n{laughs}license: {tag}\n---\ntext".encode(), None
    yield "laughs.yaml", laughs.encode(), None
    yield (
        "template.txt",
        b"{{ ''.__class__.__mro__[1].__subclasses__() }} {% for i in range(10**9) %}",
        None,
    )
    yield "module.py", f"import os\nos.system('touch {canary}')\n".encode(), None


def _tables(canary: Path, large: int) -> Files:
    yield "field.csv", b'text\n"' + b"a" * large + b'"\nafter\n', None
    yield "long-field.csv", b'text\n"' + b"a" * (17 << 20) + b'"\nafter\n', "too long|cannot be read"
    yield "quote.csv", b'text,id\n"never closed,1\nsecond,2\n', "cannot be read"
    yield "nul.csv", b"text\n\x00\x00\n", "binary"
    yield "columns.csv", b"a,b\n1,2\n", "no column"
    yield "ragged.csv", b"text,id\na\nb,2,3\nc,3\n", "another number of fields"
    yield "formula.csv", f"text\n\"=cmd|' /C touch {canary}'!A0\"\n".encode(), None
    yield "latin1.csv", b"text\ncaf\xe9\nplain\n", "not encoded"
    yield "quotes.tsv", b'text\tid\n"open\t1\nafter\t2\n', None


def _parquet(canary: Path, large: int) -> Files:
    def written(table: pyarrow.Table, **settings: object) -> bytes:
        target = io.BytesIO()
        parquet.write_table(table, target, **settings)
        return target.getvalue()

    good = written(pyarrow.table({"text": ["one", "two"]}))
    yield "truncated.parquet", good[: len(good) // 2], "damaged"
    yield "magic.parquet", b"PAR2" + good[4:-4] + b"PAR2", "damaged"
    yield "footer.parquet", good[:-8] + b"\xff\xff\xff\x7fPAR1", "damaged"
    yield "pages.parquet", b"PAR1" + b"\xff" * 40 + good[44:], "damaged"
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 10_000, pyarrow.int32()), ["x" * 50_000])
    yield "dictionary.parquet", written(pyarrow.table({"text": text})), _EXPANDS
    column = pyarrow.array(["x" * 5_000_000] * 20)
    yield "column.parquet", written(pyarrow.table({"text": column}), use_dictionary=False, compression="zstd"), _EXPANDS
    yield "columns.parquet", written(pyarrow.table({"body": ["x"]})), "no column"
    yield "types.parquet", written(pyarrow.table({"text": [[1], [2]]})), "holding a string"
    yield "rows.parquet", written(pyarrow.table({"text": pyarrow.array([], pyarrow.string())})), "empty"
    yield "pickle.parquet", f"cos\nsystem\n(S'touch {canary}'\ntR.".encode(), "damaged"


def _encodings(canary: Path, large: int) -> Files:
    yield "utf16.txt", "no mark, only text".encode("utf-16-le"), "binary"
    yield "latin1.txt", "café au lait".encode("latin-1"), "not encoded in utf-8"
    yield "mixed.txt", "é".encode() * 100 + "é".encode("latin-1"), "not encoded in utf-8"
    yield "utf7.txt", b"+ADw-script+AD4-", None
    yield "overlong.txt", b"a\xc0\xafb", "not encoded in utf-8"
    yield "surrogate.txt", b"a\xed\xa0\x80b", "not encoded in utf-8"
    yield "mark.txt", "before\ufeffafter".encode(), None
    yield "cut.txt", "cut short é".encode("utf-16")[:-1], "not encoded in utf-16"
    yield "empty.txt", b"", "empty"
    yield "space.txt", b" \n\t" * 1000, "empty"
    yield "nul.txt", b"\x00" * 10_000, "binary"
    yield "one-line.txt", b"word " * (large // 5), None
    yield "unknown.exe", b"MZ", "kind of file"
