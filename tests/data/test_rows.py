"""Records with all of their fields: every form reads alike, and what cannot be used is told with its place."""

import gzip
import json
import pathlib

import pyarrow
import pyarrow.parquet
import pytest

from trivium.data.rows import Row, number_of, read_rows
from trivium.errors import DataError

RECORDS = [{"a": "one", "b": "1.5"}, {"a": 'an "odd one', "b": "2"}]


def test_all_forms_read_alike(tmp_path: pathlib.Path):
    lines = "\n".join(map(json.dumps, RECORDS))
    written = {
        "r.jsonl": lines + "\n\n",
        "r.json": json.dumps(RECORDS),
        "r.tsv": 'a\tb\none\t1.5\nan "odd one\t2\n',
        "r.csv": '\ufeffa,b\none,1.5\n"an ""odd one",2\n',
    }
    for name, content in written.items():
        (tmp_path / name).write_text(content)
        assert [dict(row.fields) for row in read_rows(tmp_path / name)] == RECORDS, name
    (tmp_path / "r.tsv.gz").write_bytes(gzip.compress(written["r.tsv"].encode()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "r.parquet")
    assert [dict(row.fields) for row in read_rows(tmp_path / "r.parquet")] == RECORDS
    rows = list(read_rows(tmp_path / "r.tsv.gz"))
    assert rows[1].where.endswith("r.tsv.gz:3") and rows[1].number("b") == 2.0
    (tmp_path / "bare.tsv").write_text("one\t1.5\n")
    assert next(read_rows(tmp_path / "bare.tsv", columns=("a", "b"))).fields == RECORDS[0]


def test_a_field_is_read_as_what_is_asked_for():
    row = Row(fields={"t": ["A b.", "C."], "n": 3, "x": True, "e": " ", "nan": "nan"}, where="here")
    assert row.text("t") == "A b. C." and row.word("n") == "3" and row.number("n") == 3.0
    for asked, message in (
        (lambda: row.text("n"), "holds no text"),
        (lambda: row.text("e"), "holds no text"),
        (lambda: row.word("x"), "neither a word nor a number"),
        (lambda: row.number("nan"), "no number"),
        (lambda: row.text("z"), r"(?s)no field `z`.*here: t, n, x"),
        (lambda: number_of("many", "line 3"), "line 3: 'many'"),
    ):
        with pytest.raises(DataError, match=message):
            asked()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "holds no records"),
        ("a.jsonl", '{"a": 1}\n{"a":', r"(?s)not JSON.*a\.jsonl:2"),
        ("a.jsonl", "[1]", "no JSON object"),
        ("a.json", '{"a": 1}', "no list of records"),
        ("a.tsv", "a\tb\nx\n", r"(?s)another number of fields.*a\.tsv:2: 1 for the columns a, b"),
    ],
)
def test_what_is_no_record_is_refused(name: str, content: str, message: str, tmp_path: pathlib.Path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name))


def test_columns_are_for_tables(tmp_path: pathlib.Path):
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(DataError, match="columns are for a table"):
        list(read_rows(tmp_path / "a.jsonl", columns=("a",)))


def test_the_sets_of_glue_can_be_read(shared_data: pathlib.Path):
    glue = shared_data / "unclear-glue"
    pairs = list(read_rows(glue / "STS-B" / "dev.tsv"))
    assert len(pairs) == 1500 and min(row.number("score") for row in pairs) >= 0
    assert len(list(read_rows(glue / "MRPC" / "dev.tsv"))) == 408
    cola = list(read_rows(glue / "CoLA" / "in_domain_dev.tsv", columns=("source", "label", "mark", "sentence")))
    assert len(cola) == 527 and {row.word("label") for row in cola} == {"0", "1"}
