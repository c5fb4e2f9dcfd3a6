"""Reading files: what becomes a document, and one clear error for each way a file can be wrong."""

import errno
import json
from pathlib import Path

import pytest

from trivium.data.documents import Document, read_documents, read_text
from trivium.errors import DataError


def test_files_folders_and_records_become_documents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.txt").write_text("not read")
    (tmp_path / "b.txt").write_text("\ufeffplain")
    (tmp_path / "a" / "m.py").write_text("x = 1")
    (tmp_path / "a" / "__init__.py").write_text("")
    (tmp_path / "a" / "image.png").write_bytes(b"\x89PNG")
    records = [{"text": "one\u2028two", "id": "first", "group": "g", "licence": "MIT"}, {"text": "two"}]
    (tmp_path / "c.jsonl").write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in records) + "\n")
    documents, skipped = read_documents([tmp_path, tmp_path / "b.txt"])
    assert [(d.id, d.text, d.kind, d.group, d.licence) for d in documents] == [
        ("b.txt", "plain", "text", "b.txt", None),
        ("first", "one\u2028two", "record", "g", "MIT"),
        ("c.jsonl:3", "two", "record", "c.jsonl:3", None),
        ("a/m.py", "x = 1", "code", "a/m.py", None),
        ("b.txt", "plain", "text", "b.txt", None),
    ]
    assert sorted(skipped.files) == [
        ("a/__init__.py", "the file is empty"),
        ("a/image.png", "this kind of file is not read"),
    ]
    assert documents[0].num_bytes == 5
    assert len(documents[0].hash) == 64


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"the file is empty\n  received: .*a\.txt\n  fix:      remove it"),
        ("a.txt", b" \n\t", r"the file is empty"),
        ("a.txt", b"ab\x00cd", r"binary, not text\n  received: .*a\.txt: a zero byte at offset 2"),
        ("a.txt", b"caf\xe9 au lait", r"not encoded in utf-8\n  received: .*byte 0xe9 at offset 3(.|\n)*to cp1252"),
        ("a.txt", b"\x81caf\xe9", r"offset 0(.|\n)*set encoding to latin-1"),
        ("a.txt", "é é".encode("utf-16-le"), r"binary(.|\n)*set encoding to utf-16-le"),
        ("a.png", b"PNG", r"not read\n  received: .*a\.png\n  expected: a folder, or .*\.txt \.md .*\.jsonl"),
        ("a.zip", b"PK", r"the archive is damaged\n  received: .*a\.zip: File is not a zip file"),
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"not JSON\n  received: .*a\.jsonl:2: Expecting value at column 10"),
        ("a.jsonl", b'{"title": "x"}', r"no field `text` holding a string\n  received: .*a\.jsonl:1: fields: title"),
        ("a.jsonl", b'{"text": "x"}\n' + b"[" * 100_000, r"a\.jsonl:2: brackets too deep"),
        ("a.jsonl", b'{"text": "x"}\n{"id": ' + b"1" * 5000 + b"}", r"a\.jsonl:2: a number too long"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError, match=message):
        read_documents([path])


def test_another_encoding_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "café".encode("cp1252"))
    assert read_documents([path], encoding="cp1252")[0][0].text == "café"
    for number, name in enumerate(("utf-8-sig", "utf-16", "utf-32")):
        path = written(tmp_path, f"{number}.txt", "café".encode(name))
        assert read_documents([path], encoding="cp1252")[0][0].text == "café", "the mark goes before what is set"
    with pytest.raises(DataError, match="no such encoding"):
        read_documents([path], encoding="utf-99")


def test_missing_and_hopeless_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_documents([tmp_path / "absent"])
    written(tmp_path, "a.png", b"x")
    with pytest.raises(DataError, match=r"holds no text that can be read\n  received: .*1 files passed over"):
        read_documents([tmp_path])


def test_no_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.txt", b"x")

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    for source in (path, tmp_path):
        with pytest.raises(DataError, match=r"cannot be read\n  received: .*a\.txt: Permission denied\n  fix: "):
            read_documents([source])


def test_a_bad_file_in_a_folder_stops_or_is_passed_over_as_asked(tmp_path: Path) -> None:
    written(tmp_path, "good.txt", b"good")
    written(tmp_path, "bad.txt", b"\xff\xff\xff")
    with pytest.raises(DataError, match=r"bad\.txt"):
        read_documents([tmp_path])
    documents, skipped = read_documents([tmp_path], skip_unreadable=True)
    assert [document.id for document in documents] == ["good.txt"]
    assert skipped.files == [("bad.txt", "the file is not encoded in utf-8")]


def test_a_link_that_leads_nowhere_is_an_unreadable_file(tmp_path: Path) -> None:
    written(tmp_path, "good.txt", b"good")
    (tmp_path / "lost.txt").symlink_to(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot be read\n  received: .*lost\.txt"):
        read_documents([tmp_path])
    documents, skipped = read_documents([tmp_path], skip_unreadable=True)
    assert [document.id for document in documents] == ["good.txt"]
    assert skipped.files == [("lost.txt", "the file cannot be read")]


def test_what_a_named_file_holds_may_be_passed_over_but_not_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", b'{"text": "x"}\n{}\n')
    with pytest.raises(DataError, match=r"no field `text`"):
        read_documents([path])
    documents, skipped = read_documents([path], skip_unreadable=True)
    assert [document.id for document in documents] == ["a.jsonl:1"]
    assert skipped.files == [("a.jsonl:2", "no field `text` holding a string")]
    with pytest.raises(DataError, match=r"holds no text that can be read\n  received: .*1 files passed over"):
        read_documents([written(tmp_path, "b.jsonl", b"{}")], skip_unreadable=True)
    with pytest.raises(DataError, match=r"the file is empty\n  received: .*c\.txt"):
        read_documents([written(tmp_path, "c.txt", b"")], skip_unreadable=True)


def test_text_alone(tmp_path: Path) -> None:
    assert read_text(written(tmp_path, "a.txt", "\ufeffé".encode())) == "é"
    with pytest.raises(DataError, match=r"not encoded in utf-8\n  received: .*b\.txt: byte 0xff at offset 0"):
        read_text(written(tmp_path, "b.txt", b"\xff"))
    with pytest.raises(DataError, match=r"cannot be read\n  received: .*absent"):
        read_text(tmp_path / "absent")


def test_lone_surrogates_do_not_stop_counting(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", rb'{"text": "a\ud800"}')
    document: Document = read_documents([path])[0][0]
    assert document.num_bytes == 4
