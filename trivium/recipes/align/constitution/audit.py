"""`audit.jsonl`: every decision of a run, and the principles that it was made by.

{"kind": "revision", "number": 3, "sample": 0, "round": 1, "principle": "privacy", "changed": true}
{"kind": "comparison", "file": "judgements", "number": 3, "principles": [{"principle": "lawful", "priority": 90,
 "orders": [0.9, 0.8], "asked_again": false, "too_long": false}, ...], "probability": 0.85, "conflict": null,
 "left_out": null}

`number` is the line of revisions.jsonl, or of the named file, in which the texts stand.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from trivium.checkpoints.folder import replace_file
from trivium.recipes.align.constitution.figures import Told, changes
from trivium.recipes.align.constitution.journal import Row

AUDIT = "audit.jsonl"


def write_audit(folder: pathlib.Path, told: Told) -> None:
    """Writes the audit of a run whose files lie in `folder`."""
    lines = [*_of_revisions(told.revised), *(_of_comparison(file, row) for file, row in told.all_judgements)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_file(folder / AUDIT, text.encode(errors="backslashreplace"))


def _of_revisions(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for number, sample in enumerate(row["samples"]):
            place = {"kind": "revision", "number": row["number"], "sample": number}
            for turn, (one, changed) in enumerate(changes(sample)):
                yield {**place, "round": turn, "principle": one["principle"], "changed": changed}
            if sample["stopped"] is not None:
                yield {**place, "round": len(sample["rounds"]), "principle": None, "stopped": sample["stopped"]}


def _of_comparison(file: str, row: Row) -> dict[str, Any]:
    decided = {name: row[name] for name in ("probability", "conflict", "left_out")}
    return {"kind": "comparison", "file": file, "number": row["number"], "principles": row["judged"], **decided}
