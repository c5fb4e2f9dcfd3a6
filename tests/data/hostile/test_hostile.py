"""No file, however it was made, runs code, takes a reader with it, or costs more than a bounded amount."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from tests.data.hostile import files
from trivium.data.documents import read_documents
from trivium.errors import DataError

HERE = pathlib.Path(__file__).parent
Results = dict[str, dict[str, Any]]
SECONDS = 20
"""Of computation, for each file: a bound, ten times what the longest takes."""
MEBIBYTES = 400
ADDRESS_SPACE_GIBIBYTES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def expected(folder: pathlib.Path) -> dict[str, str | None]:
    (folder / "files").mkdir()
    return files.write_all(folder / "files", folder / "canary")


@pytest.fixture(scope="module")
def results(folder: pathlib.Path, expected: dict[str, str | None], repository: pathlib.Path) -> Results:
    """What reading each file in a child process gave."""
    before = tree(folder)
    done = subprocess.run(
        [sys.executable, str(HERE / "child.py"), str(folder / "files"), str(ADDRESS_SPACE_GIBIBYTES), str(SECONDS)],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository)},
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (done.returncode, "after", done.stdout[-200:], done.stderr.decode()[-2000:])
    assert done.stderr == b"", "a reader prints nothing"
    assert tree(folder) == before, "reading writes nothing"
    assert not (folder / "canary").exists(), "reading runs nothing"
    return joined(map(json.loads, done.stdout.splitlines()))


def joined(parts: Iterable[dict[str, Any]]) -> Results:
    """One result a file, from those of its parts."""
    whole: Results = {}
    for part in parts:
        sofar = whole.setdefault(part["name"], part)
        if sofar is not part:
            sofar["documents"] += part["documents"]
            sofar["findings"] += part["findings"]
            sofar["mebibytes"] = max(sofar["mebibytes"], part["mebibytes"])
    return whole


def tree(folder: pathlib.Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_there_are_more_than_forty(expected: dict[str, str | None]) -> None:
    assert len(expected) >= 100


def test_every_file_is_told_of_by_name_and_with_its_reason(expected: dict[str, str | None], results: Results) -> None:
    wrong = {}
    for name, reason in expected.items():
        found = results[name]["findings"]
        if reason is None:
            fits = not found and results[name]["documents"]
        else:
            fits = any(re.search(reason, why) for _, why, _ in found)
        if not fits or not all(place.startswith(name) and why for place, why, _ in found):
            wrong[name] = (reason, found, results[name]["documents"][:3])
    assert not wrong


def test_the_rest_goes_on(results: Results) -> None:
    assert [document[2] for name in files.GOOD for document in results[name]["documents"]] == [
        "good text",
        "good",
        "record",
        "last",
    ]
    for name in ("deep", "digits", "surrogates", "nul", "long-line", "fields", "broken"):
        assert results[f"{name}.jsonl"]["documents"][-1][2] == "after"
    assert [document[2] for document in results["bomb.zip"]["documents"]] == ["before"]
    assert [document[2] for document in results["damaged.zip"]["documents"]] == [("other " * 1000)[:40]]
    for name in ("names", "symlink", "hardlink", "device", "through"):
        assert results[f"{name}.tar"]["documents"][-1][2] == "last"
    assert len(results["truncated.jsonl.gz"]["documents"]) > 500
    for name in ("depth", "commas", "cut", "follows", "quotes"):
        assert [document[2] for document in results[f"{name}.json"]["documents"]] == ["before"]
    for name in ("string", "types"):
        assert [document[2] for document in results[f"{name}.json"]["documents"]] == ["before", "after"]
    for name in ("field.csv", "long-field.csv", "quotes.tsv"):
        assert results[name]["documents"][-1][2] == "after"
    assert results["ragged.csv"]["documents"][-1][0] == "3"
    assert results["latin1.csv"]["documents"][-1][2] == "plain"
    assert results["script.html"]["documents"][0][2] == "shown"


def test_no_file_takes_much(results: Results) -> None:
    large = {name: result["mebibytes"] for name, result in results.items() if result["mebibytes"] > MEBIBYTES}
    assert not large


@pytest.mark.parametrize(
    "name", ["bomb.zip", "deep.html", "pages-loop.pdf", "truncated.parquet", "fifo.txt", "no.tar", "loop.txt"]
)
def test_named_by_itself_it_is_an_error_that_names_it(folder: pathlib.Path, expected: dict[str, str | None], name: str):
    with pytest.raises(DataError, match=re.escape(name)):
        read_documents([folder / "files" / name])
