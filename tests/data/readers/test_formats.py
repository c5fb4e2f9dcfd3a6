"""One document of each format, with what is particular to it."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from tests.data.hostile.files import member, tarred, zipped
from tests.data.hostile.pdfs import GOOD_PDF, pdf, stream
from trivium.data.documents import Document, read_documents
from trivium.data.readers import Limits, Part, PassedOver, ReadOptions, json_arrays, list_parts, read_part, spool_stdin
from trivium.errors import DataError

RECORDS = b'{"text": "one", "label": 1, "language": "en", "license": "mit"}\n{"text": "two"}\n'


def found(folder: Path, name: str, content: bytes, options: ReadOptions | None = None) -> list[Document | PassedOver]:
    """What a file of this name and content gives."""
    options = options or ReadOptions()
    (folder / name).write_bytes(content)
    parts = [part for part in list_parts(str(folder / name), options) if isinstance(part, Part)]
    return [each for part in parts for each in read_part(part, options)]


def texts(folder: Path, name: str, content: bytes, options: ReadOptions | None = None) -> list[str]:
    return [each.text if isinstance(each, Document) else str(each) for each in found(folder, name, content, options)]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<title>T &amp; U</title><p>a &lt; b&nbsp;c", "T & U\n\na < b c"),
        ("<title>Site</title><h1>Head</h1>text", "Head\n\ntext"),
        ("<nav>menu</nav><header>top</header><p>text</p><aside>ad</aside><footer>foot</footer>", "text"),
        ("<article><header><h1>Title</h1></header>text</article><p>other", "Title\n\ntext"),
        ("<article>one</article><article>two</article>", "one\n\ntwo"),
        ("<main></main><p>outside", "outside"),
        ("<script>s</script><style>s</style><form>f<input></form><noscript>n</noscript>text", "text"),
        ("<p>some <b>bo</b>ld\n words</p><p>next", "some bold words\n\nnext"),
        ("<ul><li>one<li>two <ul><li>deep</ul></ul>end", "one\ntwo\n\ndeep\n\nend"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<p>x<pre>\n  def f():\n      pass\n</pre>y", "x\n\n  def f():\n      pass\n\ny"),
        ("<p>x<pre><b>a</b>\n<i>  b</i>\n</pre>y", "x\n\na\n  b\n\ny"),
        ("<table><tr><td>1<td>2<tr><td>3<td>4</table>", "1 2\n3 4"),
        ("<p>open <b>never closed <i>at all", "open never closed at all"),
    ],
)
def test_the_main_text_of_a_page(tmp_path: Path, page: str, expected: str) -> None:
    assert texts(tmp_path, "a.html", page.encode()) == [expected]


def test_a_page_says_its_encoding(tmp_path: Path) -> None:
    text = "<meta charset=windows-1251><p>Привет"
    assert texts(tmp_path, "a.html", text.encode("cp1251")) == ["Привет"]
    assert texts(tmp_path, "b.html", text.encode("utf-16")) == ["Привет"]
    assert texts(tmp_path, "c.html", "<p>café".encode("cp1252"), ReadOptions(encoding="cp1252")) == ["café"]
    assert texts(tmp_path, "d.html", ("<p>é" + "x" * 5000).encode() + b"\xff") == ["é" + "x" * 5000 + "\ufffd"]


def test_a_pdf(tmp_path: Path) -> None:
    (document,) = found(tmp_path, "a.pdf", GOOD_PDF)
    assert isinstance(document, Document)
    assert (document.text, document.kind, document.id) == ("good page", "pdf", "a.pdf")


def test_running_heads_of_a_pdf_go(tmp_path: Path) -> None:
    def page(number: int) -> bytes:
        lines = (b"The Whale", b"text of page %s" % (b"abcd"[number : number + 1]), b"%d" % (number + 17))
        words = b" 0 -12 Td ".join(b"(" + line + b") Tj" for line in lines)
        return stream(b"BT /F 9 Tf 9 90 Td " + words + b" ET")

    count = 4
    font = b"/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    kids = b" ".join(b"%d 0 R" % (3 + 2 * n) for n in range(count))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)]
    for n in range(count):
        place = b"/Parent 2 0 R /MediaBox [0 0 99 99] /Contents %d 0 R" % (4 + 2 * n)
        objects += [b"<< /Type /Page %s %s >>" % (place, font), page(n)]
    expected = "\n\n".join(f"text of page {letter}" for letter in "abcd")
    assert texts(tmp_path, "a.pdf", pdf(*objects)) == [expected]


def test_json_arrays_and_objects_in_a_row(tmp_path: Path) -> None:
    rows = [{"text": "one", "label": 1, "language": "en", "license": "mit"}, {"text": 'two "]},[ \\" é'}]
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    expected = [each.text for each in found(tmp_path, "a.jsonl", lines) if isinstance(each, Document)]
    for content in (
        json.dumps(rows),
        json.dumps(rows, indent=2, ensure_ascii=False),
        "\ufeff \n" + json.dumps(rows) + "\n\n",
        lines.decode(),
        "".join(json.dumps(row) for row in rows),
        json.dumps(rows, separators=(" ," + " " * 70_000, ":")),
    ):
        assert texts(tmp_path, "a.json", content.encode()) == expected
    (first, second) = found(tmp_path, "a.json", json.dumps(rows).encode())
    assert isinstance(first, Document) and isinstance(second, Document)
    assert (first.id, first.label, first.language, first.licence) == ("a.json:1", "1", "en", "MIT")
    assert second.id == "a.json:2"
    assert texts(tmp_path, "b.json", b"[]") == ["b.json: the file is empty (no records)"]
    assert texts(tmp_path, "c.json", b'{"data": []}') == ["c.json:1: no field `text` holding a string (fields: data)"]
    small = ReadOptions(limits=Limits(max_record_bytes=60))
    assert texts(tmp_path, "d.json", json.dumps([rows[1], {"text": "x" * 60}, rows[1]]).encode(), small) == [
        rows[1]["text"], "d.json:2: the record is too long (more than 60 bytes)", rows[1]["text"],
    ]  # fmt: skip


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_json_is_cut_alike_wherever_blocks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    rows = [{"text": 'a "]},[{ \\\\" b', "n": [[], {"x": "\\"}]}, {"text": "é🙂"}, {"text": ""}]
    monkeypatch.setattr(json_arrays, "_BLOCK", block)
    for content in (json.dumps(rows), " ".join(map(json.dumps, rows))):
        assert texts(tmp_path, "a.json", content.encode()) == [row["text"] for row in rows]


def test_other_json_of_a_folder_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "good.json").write_text('[{"text": "read"}]')
    documents, skipped = read_documents([tmp_path])
    assert [document.text for document in documents] == ["read"]
    assert [name for name, _ in skipped.files] == ["list.json", "package.json"]


def test_tables(tmp_path: Path) -> None:
    table = 'id,text,label\n7,"a ""quoted""\nline",x\n,plain,\n'
    documents = found(tmp_path, "a.csv", b"\xef\xbb\xbf" + table.encode())
    assert [(d.id, d.text, d.label) for d in documents if isinstance(d, Document)] == [
        ("7", 'a "quoted"\nline', "x"),
        ("a.csv:4", "plain", None),
    ]
    assert texts(tmp_path, "b.csv", table.encode("utf-16")) == texts(tmp_path, "c.csv", table.encode())
    assert texts(tmp_path, "d.tsv", b'text\tid\n"open\t1\n') == ['"open']
    assert texts(tmp_path, "e.csv", b"body\nx\n", ReadOptions(text_field="body")) == ["x"]


def test_parquet_gives_what_json_gives(tmp_path: Path) -> None:
    rows = [{"text": "one", "label": 1, "language": "en", "license": "mit"}, {"text": "two"}, {"text": None}]
    target = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), target)
    documents = found(tmp_path, "a.parquet", target.getvalue())
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    same = [str(each).replace("a.parquet", "a.jsonl") for each in documents[:2]]
    assert same == [str(each) for each in found(tmp_path, "a.jsonl", lines)[:2]]
    assert documents[0] == Document(
        id="a.parquet:1",
        text="one",
        origin=str(tmp_path / "a.parquet"),
        kind="record",
        group="a.parquet:1",
        licence="MIT",
        language="en",
        label="1",
    )
    assert str(documents[2]) == "a.parquet:3: no field `text` holding a string (fields: text, license, label, language)"


def test_compressed_files_and_archives_are_read_in_place(tmp_path: Path) -> None:
    zst = pyarrow.compress(RECORDS, "zstd", asbytes=True)
    members = gzip.compress(RECORDS[:40]) + gzip.compress(RECORDS[40:]) + bytes(100)
    two = bz2.compress(RECORDS[:40]) + bz2.compress(RECORDS[40:])
    padded = lzma.compress(RECORDS[:40]) + bytes(8) + lzma.compress(RECORDS[40:], preset=9) + bytes(4)
    for name, content in (("a.jsonl.gz", members), ("b.jsonl.zst", zst), ("c.jsonl.bz2", two), ("d.jsonl.xz", padded)):
        assert texts(tmp_path, name, content) == ["one", "two"]
    long = "folder/" + "n" * 200 + ".txt"
    archive = tarred(member(long), member("r.jsonl"), member("./p.pdf"), contents=(b"long", RECORDS, GOOD_PDF))
    packed = {"b.tar.gz": gzip.compress, "c.tgz": gzip.compress, "d.tar.xz": lzma.compress, "e.tbz2": bz2.compress}
    for name, content in (("a.tar", archive), *((name, pack(archive)) for name, pack in packed.items())):
        assert texts(tmp_path, name, content) == ["long", "one", "two", "good page", "last"]
        assert found(tmp_path, name, content)[0].id == f"{name}/{long}"
    target = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["row"]}), target)
    table = target.getvalue()
    archive = zipped({"a.txt": b"one", "__MACOSX/._a.txt": b"x", "b/r.csv": b"text\nrow\n", "c.parquet": table})
    assert texts(tmp_path, "a.zip", archive) == ["one", "row", "row"]
    names = ["a.jsonl.gz", "a.tar", "a.zip", "b.jsonl.zst", "b.tar.gz", "c.jsonl.bz2", "c.tgz", "d.jsonl.xz"]
    names += ["d.tar.xz", "e.tbz2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names, "nothing was unpacked"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(tmp_path: Path, form: int) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form, pax_headers={"comment": "c"}) as archive:
        for name in ("a.txt", "d" * 90 + "/" + "f" * 90 + ".txt"):
            header = tarfile.TarInfo(name)
            header.size = 3
            archive.addfile(header, io.BytesIO(b"abc"))
        archive.addfile(member("d", tarfile.DIRTYPE))
    assert [each.id for each in found(tmp_path, "a.tar", target.getvalue()) if isinstance(each, Document)] == [
        "a.tar/a.txt",
        "a.tar/" + "d" * 90 + "/" + "f" * 90 + ".txt",
    ]


def test_limits_are_kept(tmp_path: Path) -> None:
    def small(**limits: int) -> ReadOptions:
        return ReadOptions(limits=Limits(**limits))

    def why(name: str, content: bytes, options: ReadOptions) -> list[str]:
        return [each.reason for each in found(tmp_path, name, content, options) if isinstance(each, PassedOver)]

    assert why("a.txt", b"x" * 11, small(max_file_bytes=10)) == ["the file is too large to be read whole"]
    assert why("a.html", b"x" * 11, small(max_parsed_bytes=10)) == ["the file is too large to be read whole"]
    assert why("a.jsonl", RECORDS, small(max_record_bytes=20)) == ["the line is too long"]
    assert why("a.csv", b"text\n" + b"x" * 30 + b"\nok\n", small(max_record_bytes=20)) == ["the row is too long"]
    many = ["the archive has too many members"]
    assert why("a.zip", zipped({"a.txt": b"x", "b.txt": b"y"}), small(max_members=1)) == many
    assert why("a.tar", tarred(member("a.txt"), contents=(b"x",)), small(max_members=1)) == many
    assert why("a.txt.gz", gzip.compress(b"x" * 99), small(max_expanded_bytes=50)) == ["it expands beyond the limit"]


def test_standard_input(tmp_path: Path) -> None:
    assert spool_stdin(io.BytesIO(b"\n" + RECORDS * 10_000), tmp_path).read_bytes() == b"\n" + RECORDS * 10_000
    assert spool_stdin(io.BytesIO(RECORDS), tmp_path).name == "stdin.jsonl"
    assert spool_stdin(io.BytesIO(b'{"text": "' + b"x" * 100_000 + b'"}'), tmp_path).name == "stdin.jsonl"
    for array in (b'[{"text": "one"}]', b'\xef\xbb\xbf\n [\n{ "a": 1}'):
        assert spool_stdin(io.BytesIO(array), tmp_path).name == "stdin.json"
    for text in (b"plain\ntext", b"{not json}", b"[1]", b'"x"', b"{" * 10_000):
        assert spool_stdin(io.BytesIO(text), tmp_path).name == "stdin.txt"
    with pytest.raises(DataError, match="standard input is empty"):
        spool_stdin(io.BytesIO(b""), tmp_path)


def test_public_files_are_read_whole(shared_data: Path) -> None:
    documents, skipped = read_documents([shared_data / "pd_text"], skip_unreadable=True)
    assert sum(document.num_bytes for document in documents) > 2_000_000
    assert any("/" in document.id for document in documents), "members of archives among them"
    assert {reason for name, reason in skipped.files if name.endswith(".txt")} <= {"the file is not encoded in utf-8"}
    options = ReadOptions(text_field="tweet", label_field="class")
    (path,) = (shared_data / "hate_offensive").glob("*.csv*")
    (part,) = list_parts(str(path), options)
    assert isinstance(part, Part)
    rows = list(read_part(part, options))
    assert sum(isinstance(row, Document) for row in rows) == 24_783
    assert {row.label for row in rows if isinstance(row, Document)} == {"0", "1", "2"}
