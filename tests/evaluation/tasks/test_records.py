"""Files of every kind become the records of a task, and what cannot is said by name."""

import gzip
import json
import pathlib
import zipfile

import pytest

from trivium.errors import DataError
from trivium.evaluation.tasks import TASKS, find_task
from trivium.evaluation.tasks.records import expected, read_task

ROWS = [
    {"sentence1": 'He said "no".', "sentence2": "He, too.", "label": 1},
    {"sentence1": "a", "sentence2": "b", "label": 0},
]
TEXTS = [{name: str(value) for name, value in row.items()} for row in ROWS]


def written(path: pathlib.Path) -> pathlib.Path:
    """`ROWS` in the form that the name asks for."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".tsv"):
        text = "index\tsentence1\tsentence2\tlabel\n" + "".join(
            f"{number}\t{row['sentence1']}\t{row['sentence2']}\t{row['label']}\n" for number, row in enumerate(ROWS)
        )
    elif name.endswith(".csv"):
        text = '\ufefflabel,sentence1,sentence2\r\n1,"He said ""no"".","He, too."\r\n0,a,b\r\n'
    elif name.endswith(".jsonl"):
        text = "".join(f"{json.dumps(row)}\n\n" for row in ROWS)
    else:
        text = json.dumps(ROWS)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.json", "a.tsv.gz", "a.jsonl.gz", "A.JSON"])
def test_the_same_records_from_every_form(tmp_path: pathlib.Path, name: str) -> None:
    found = read_task(written(tmp_path / name), find_task("mrpc"))
    assert found == (ROWS if "json" in name.lower() else TEXTS)


def test_parquet(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_task(tmp_path / "a.parquet", find_task("wnli")) == ROWS
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        read_task(tmp_path / "b.parquet", find_task("wnli"))


def test_columns_go_by_the_names_of_each_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dev.tsv").write_text("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tyes .\tno .\n")
    (record,) = read_task(tmp_path / "dev.tsv", find_task("mrpc"))
    assert record == {"sentence1": "yes .", "sentence2": "no .", "label": "1"}


def test_a_table_without_names_is_cola(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dev.tsv").write_text('gj04\t1\t\tThe weights "fell.\ngj04\t0\t*\tFell the.\n')
    found = read_task(tmp_path / "dev.tsv", find_task("cola"))
    assert [(row["sentence"], row["label"]) for row in found] == [('The weights "fell.', "1"), ("Fell the.", "0")]


def test_several_files_of_one_task(tmp_path: pathlib.Path) -> None:
    pair = {"sentence_good": "They run.", "sentence_bad": "They runs."}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for kind in ("b", "a"):
            archive.writestr(f"data/{kind}.jsonl", json.dumps({**pair, "UID": kind}))
            (tmp_path / f"{kind}.jsonl").write_text(json.dumps({**pair, "UID": kind}))
        archive.writestr("README.md", "not read")
    for source in (tmp_path / "all.zip", tmp_path):
        if source.is_dir():
            (tmp_path / "all.zip").unlink()
        assert [row["UID"] for row in read_task(source, find_task("blimp"))] == ["a", "b"]
    with pytest.raises(DataError, match="measured on one file"):
        read_task(tmp_path, find_task("cola"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"text", "this kind of file is not read"),
        ("a.tsv", b"", "the file is empty"),
        ("b.tsv", b"sentence1\tsentence2\tlabel\n", "no examples"),
        ("a.tsv", b"sentence1\tsentence2\n1\t2\n", "no column `label`"),
        ("a.tsv", b"sentence1\tsentence2\tlabel\n1\t2\n", "another number of fields"),
        ("a.jsonl", b'{"sentence1": "a", "sentence2": null, "label": 1}', "no column `sentence2`"),
        ("a.jsonl", b'{"sentence1": "a", "sentence2": ["b"], "label": 1}', "no column `sentence2`"),
        ("a.jsonl", b"{oops", "not JSON"),
        ("a.jsonl", b"[1]\n", "no JSON object"),
        ("a.jsonl", b'"\xff"', "not encoded in utf-8"),
        ("a.json", b"7", "no list of records"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json.gz", b"plain", "damaged"),
        ("a.tsv", b"sentence1\tsentence2\tlabel\n\xff\tb\t1\n", "not encoded in utf-8"),
    ],
)
def test_what_is_no_file_of_the_task(tmp_path: pathlib.Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_task(tmp_path / name, find_task("mrpc"))


def test_a_missing_file_or_a_damaged_archive(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"no such file[\s\S]*sentence1[\s\S]*Quality"):
        read_task(tmp_path / "nothing.tsv", find_task("mrpc"))
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with pytest.raises(DataError, match="archive cannot be read"):
        read_task(tmp_path / "a.zip", find_task("blimp"))


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_says_what_it_wants(name: str) -> None:
    assert all(names[0] in expected(TASKS[name]) for names in TASKS[name].columns.values())


def test_the_public_files_are_read_whole(shared_data: pathlib.Path) -> None:
    glue = shared_data / "unclear-glue"
    counts = {
        "sst2": (glue / "SST-2" / "dev.tsv", 872),
        "mrpc": (glue / "MRPC" / "dev.tsv", 408),
        "rte": (glue / "RTE" / "dev.tsv", 277),
        "qnli": (glue / "QNLI" / "dev.tsv.gz", 5463),
        "wnli": (glue / "WNLI" / "dev.tsv", 71),
        "cola": (glue / "CoLA" / "in_domain_dev.tsv", 527),
        "boolq": (shared_data / "unclear-fewglue" / "BoolQ" / "train.jsonl", 32),
        "blimp": (shared_data / "blimp" / "blimp_first200.zip", 67 * 200),
        "gsm8k": (shared_data / "gsm8k" / "test.jsonl", 1319),
        "svamp": (shared_data / "svamp" / "SVAMP.json", 1000),
    }
    for name, (path, count) in counts.items():
        task = find_task(name)
        records = read_task(path, task)
        assert len(records) == count
        assert {type(task.target(record)) for record in records} == {str if task.method == "write" else int}
