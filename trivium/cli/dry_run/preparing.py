"""What `prepare` will read: how many files, and how many bytes; nothing of them is opened but archives' lists."""

import pathlib
from collections import Counter
from typing import Any

from trivium.data import embedded, python_sources
from trivium.data.readers import Part, list_parts
from trivium.recipes.prepare import PrepareConfig

_STDIN, _HUB = "-", "hub:"


def preparing(config: PrepareConfig) -> dict[str, Any]:
    """Sources with their files and bytes. Raises `UserError` for a source that is not there."""
    sources: dict[str, Any] = {}
    files = size = 0
    passed: Counter[str] = Counter()
    for source in config.sources:
        unknown = unknown_size(source)
        if unknown is not None:
            sources[source] = unknown
            continue
        found = list(list_parts(source, config.reading, origin=source))
        parts = [part for part in found if isinstance(part, Part)]
        passed.update(part.reason for part in found if not isinstance(part, Part))
        here, bytes_here = len({part.path for part in parts}), sum(part.num_bytes for part in parts)
        sources[source] = f"{here:,} {'file' if here == 1 else 'files'}, {bytes_here:,} bytes"
        files, size = files + here, size + bytes_here
    facts: dict[str, Any] = {"sources": sources, "files": files, "bytes": size}
    if passed:
        facts["passed_over"] = dict(passed)
    return {**facts, "output": str(config.output)}


def unknown_size(source: str) -> str | None:
    """Why the size of a source is not known before it is read; None where it is."""
    if source == _STDIN:
        return "standard input: known when it has ended"
    if source.startswith(_HUB):
        return "of the hub: known when it is downloaded"
    gathered = {embedded.ORIGIN: "the documentation", python_sources.ORIGIN: "the Python sources"}
    if (kind := gathered.get(source.partition(":")[0])) is not None and not pathlib.Path(source).exists():
        return f"{kind} on this machine: known when it is gathered"
    return None
