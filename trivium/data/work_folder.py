"""The folder that a preparation works in, so that a killed one goes on where it stopped.

It lies beside the output under a hidden name, holds what `trivium.data.tasks` lists, and is deleted when the output is
in place. It belongs to one request: other settings, or a source that has changed, begin anew.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from trivium.data import spool
from trivium.data.documents import Document
from trivium.data.provenance import file_sha256
from trivium.data.readers import Part
from trivium.data.tasks import Unit
from trivium.runtime.atomic import hidden

WORK, GIVEN = ".work", ".given"
UNIT_BYTES = 8 << 20
"""Of the sources; a unit is at least this, where there is so much, and at most one file more."""
_PLAN = "plan.json"


class WorkFolder:
    """The folder for one output."""

    def __init__(self, output: Path):
        """``output`` is the folder to fill at the end."""
        self.folder = hidden(output, WORK)
        self.given = hidden(output, GIVEN)
        """What came through standard input: it cannot be read twice."""
        self._key = ""

    def begin(
        self,
        settings: dict[str, Any],
        wanted: dict[str, Any],
        parts: Sequence[Part],
        documents: Iterable[Document],
        *,
        strict: bool,
    ) -> list[dict[str, Any]]:
        """The requests to read every unit, without those that an earlier process has done.

        ``settings`` go to the workers; ``wanted`` is everything that the output depends on.
        """
        units = [{"parts": [part.to_json() for part in some]} for some in _units(parts)]
        raw = _raw_units(documents)
        digests = [_digest(document) for some in raw for document in some]
        states = [self._state(path) for path in dict.fromkeys(part.path for part in parts)]
        plan = {"wanted": wanted, "units": units, "files": states, "given": digests}
        key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
        self._key = key
        if self._key_of_last() != key:
            shutil.rmtree(self.folder, ignore_errors=True)
            (self.folder / "units").mkdir(parents=True)
            spool.write_json(self.folder / "settings.json", settings)
            for number, some in enumerate(raw):
                spool.write_documents(Unit(self.folder, number).file("raw.jsonl"), some)
            spool.write_json(self.folder / _PLAN, {"key": key})
        for leftover in (self.folder / "units").glob(".*"):
            leftover.unlink(missing_ok=True)
        parts_of = [{"parts": []} for _ in raw] + units
        return [self.request("read", n, stuck=[], strict=strict, **unit) for n, unit in enumerate(parts_of)]

    def request(self, task: str, unit: int, **more: Any) -> dict[str, Any]:
        """What `trivium.data.tasks.perform` is asked for, after `begin`."""
        return {"task": task, "work": str(self.folder), "key": self._key, "unit": unit, **more}

    def remove(self) -> None:
        """Deletes what there is: what it was for is done, or cannot be done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.given, ignore_errors=True)

    def _state(self, path: str) -> list[int | str]:
        """What changes when the file does."""
        try:
            status = Path(path).stat()
        except OSError:  # gone since it was listed: whoever reads it will tell
            return [-1, -1]
        if Path(path).parent == self.given:  # written anew each time, with the same content perhaps
            return [status.st_size, file_sha256(Path(path))]
        return [status.st_size, status.st_mtime_ns]

    def _key_of_last(self) -> str | None:
        try:
            return spool.read_json(self.folder / _PLAN)["key"]
        except (OSError, ValueError, KeyError):
            return None


def undone(requests: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The requests whose unit has no file of this kind yet."""
    return [r for r in requests if not Unit(Path(r["work"]), r["unit"]).file(kind).exists()]


def _units(parts: Sequence[Part]) -> Iterator[list[Part]]:
    some: list[Part] = []
    size = 0
    for part in parts:
        some.append(part)
        size += part.num_bytes
        if size >= UNIT_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _raw_units(documents: Iterable[Document]) -> list[list[Document]]:
    """Given documents in units; neighbours of one group stay together, for they may be joined."""
    units: list[list[Document]] = []
    size = UNIT_BYTES
    for _, group in groupby(documents, key=lambda document: document.group):
        if size >= UNIT_BYTES:
            units.append([])
            size = 0
        for document in group:
            units[-1].append(document)
            size += document.num_bytes
    return units


def _digest(document: Document) -> str:
    text = "\n".join((document.id, document.group, document.hash))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
