"""Files with random damage: a reader gives documents and findings, and never raises."""

import bz2
import gzip
import lzma
import random
from pathlib import Path

import pytest

from tests.data.hostile.files import member, tarred, zipped
from tests.data.hostile.pdfs import GOOD_PDF
from trivium.data.documents import Document
from trivium.data.readers import Part, PassedOver, ReadOptions, list_parts, read_part

TEXT = b'{"text": "one", "id": [1, 2.5e3, null]}\n' * 3
FILES = {
    "a.txt": "één\n".encode() * 20,
    "a.jsonl": TEXT,
    "a.json": b'[{"text": "one \\" [", "n": [1, {}]},\n {"text": "two"}]',
    "a.csv": b'text,id\n"a ""b""\n c",1\nplain,2\n' * 3,
    "a.html": b"<html><main><h1 class='x'>T &amp;</h1><table><tr><td>1<p>x</p></table><pre>a\n b</pre></main>" * 3,
    "a.pdf": GOOD_PDF,
    "a.zip": zipped({"a.txt": b"some text " * 20, "b.jsonl": TEXT, "c.pdf": GOOD_PDF}),
    "a.tar": tarred(member("a.txt"), member("n" * 200 + ".jsonl"), contents=(b"some text " * 20, TEXT)),
    "a.jsonl.gz": gzip.compress(TEXT * 20, mtime=0),
    "a.jsonl.bz2": bz2.compress(TEXT * 20),
    "a.jsonl.xz": lzma.compress(TEXT * 20),
    "a.tar.gz": gzip.compress(tarred(member("a.txt"), contents=(b"text",)), mtime=0),
}
CASES = 60


def damaged(content: bytes, numbers: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or cut off."""
    data = bytearray(content)
    for _ in range(numbers.randint(1, 4)):
        place = numbers.randrange(len(data))
        length = min(numbers.choice((1, 2, 8, 64)), len(data) - place)
        kind = numbers.randrange(5)
        if kind == 0:
            data[place] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            data[place : place + length] = numbers.randbytes(length)
        elif kind == 2:
            data[place : place + length] = b"\xff" * length
        elif kind == 3:
            data[place:place] = data[place : place + length]
        else:
            del data[max(1, place) :]
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_random_damage_never_raises(tmp_path: Path, name: str) -> None:
    options = ReadOptions()
    path = tmp_path / name
    numbers = random.Random(name)
    for _ in range(CASES):
        path.write_bytes(damaged(FILES[name], numbers))
        for part in list_parts(str(tmp_path), options, part_bytes=100):
            for found in read_part(part, options) if isinstance(part, Part) else [part]:
                assert isinstance(found, Document | PassedOver)
                assert (found.id if isinstance(found, Document) else found.name).encode()
