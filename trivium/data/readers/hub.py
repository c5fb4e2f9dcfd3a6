"""Data sets of the Hugging Face hub: ``hub:owner/name`` or ``hub:owner/name@revision``.

Only files of records and the card are fetched, into the cache that `huggingface_hub` keeps; no loading script of a
data set is ever fetched, let alone run. The licence is what the front matter of the card states, found as in any
other folder.
"""

import re
from pathlib import Path

from trivium.data.readers.parts import missing
from trivium.errors import DataError

CARD = "README.md"
"""The card of a data set: its licence is read, its text is not."""

_PREFIX = "hub:"
_NAME = re.compile(r"hub:([\w.-]{1,96}(?:/[\w.-]{1,96})?)(?:@([\w./-]{1,128}))?")
_PATTERNS = [CARD, "*.parquet", "*.jsonl", "*.jsonl.gz", "*.jsonl.zst"]


def is_hub(source: str) -> bool:
    """Whether the source is asked for from the hub."""
    return source.startswith(_PREFIX)


def downloaded(source: str) -> Path:
    """The folder that holds the files of the data set; its name is the commit that they are of.

    Raises:
        DataError: the name is none, or the data set cannot be had.
        Unsupported: `huggingface_hub` is not installed.
    """
    match = _NAME.fullmatch(source)
    if match is None or ".." in source:  # the name and the revision become paths in the cache
        raise DataError(
            "this is no name of a data set on the hub",
            received=source,
            expected="hub:owner/name, or hub:owner/name@revision",
            fix="correct it",
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise missing("huggingface_hub", "a data set of the hub") from error
    name, revision = match.groups()
    try:
        return Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            "the data set cannot be had from the hub",
            received=f"{source}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            fix="check the name, the network, and whether the data set is open to all",
        ) from error


def bounds(snapshot: Path) -> Path:
    """Where the files of a downloaded folder may lie: its names are links into a store two folders above, or no links.

    The layout is that of the cache of `huggingface_hub`: blobs/ and snapshots/COMMIT/ below the folder of a data set.
    """
    store = snapshot.parent.parent
    return store if snapshot.parent.name == "snapshots" and (store / "blobs").is_dir() else snapshot
