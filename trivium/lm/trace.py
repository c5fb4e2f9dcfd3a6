"""What a model was made from, back to its texts, each step checked by its hash.

    chain = trace("runs/tuned")
    chain.state                       # "verified", "altered", or "not found" where a step is not on this machine
    for link in chain.links: ...      # corpus, tokenizer, base, tuned, adapter: the oldest first

A folder says in `trivium.json` which data (a fingerprint), which vocabulary and which parent (SHA-256 of its weights)
it comes from. The folders are looked up and hashed again from their bytes: what differs was altered since.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trivium.checkpoints.folder import MANIFEST, verify_folder
from trivium.checkpoints.provenance import (
    is_adapter,
    is_model,
    named_place,
    own_manifest,
    read_adapter_config,
    read_description,
    weights_sha256,
)
from trivium.data import prepared as prepared_data
from trivium.data.provenance import content_sha256, tokenizer_sha256
from trivium.errors import CheckpointError, StorageError, UserError
from trivium.lm.load import saved_folder

State = Literal["verified", "altered", "not found"]
_GRAVITY: dict[State, int] = {"verified": 0, "not found": 1, "altered": 2}


@dataclass(frozen=True, kw_only=True)
class Link:
    """One step of the chain."""

    kind: Literal["corpus", "tokenizer", "base", "tuned", "adapter"]
    """What it is; a model with a parent is tuned, one without is a base."""
    path: str
    """Where it lies, or how it was called by what was made from it."""
    recorded: str | None
    """The hash that was written down: of the weights, of the vocabulary's file, the fingerprint of data."""
    found: str | None
    """The same hash of what lies there now."""
    state: State
    """verified: it is what was written down; altered: it is not; not found: it is not on this machine."""
    note: str = ""
    """What is altered or missing."""
    details: tuple[str, ...] = ()
    """What else to know: the sources of a corpus with their licences."""
    made_from: tuple["Link", ...] = ()
    """The steps before."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """All that a folder was made from."""

    root: Link
    """The folder itself."""

    @property
    def links(self) -> list[Link]:
        """Every step, what was made from another after it."""
        return list(_oldest_first(self.root))

    @property
    def state(self) -> State:
        """The worst of all steps."""
        return max((link.state for link in self.links), key=_GRAVITY.__getitem__)


class _Circle(CheckpointError):
    """What something was made from was made from it."""


def trace(folder: str | pathlib.Path) -> Chain:
    """The chain of a model, a run, an adapter or prepared data.

    Raises:
        StorageError, CheckpointError: there is none of these in ``folder``, or its `trivium.json` cannot be read.
        CheckpointError: the chain leads back to itself.
    """
    path = pathlib.Path(folder).expanduser()
    if not path.exists():
        raise StorageError("there is no such folder", received=folder, fix="check the path")
    if not (path.is_dir() and _is_prepared(path)):
        path = saved_folder(path)
        if not is_model(path) and not is_adapter(path):
            raise CheckpointError(
                "there is nothing to trace in this folder",
                received=folder,
                expected="a model, a run, an adapter (PEFT) or prepared data",
                fix="check the path",
            )
    return Chain(root=_link(path, str(folder), None, ()))


def _link(path: pathlib.Path, called: str, recorded: str | None, above: Sequence[pathlib.Path]) -> Link:
    """The step that lies at ``path``; ``recorded`` is what a later step says of it, ``above`` are the later steps."""
    resolved = path.resolve()
    if resolved in above:
        raise _Circle(
            "the chain leads back to itself: a model cannot be made from what was made from it",
            received=" -> ".join(map(str, [*above, resolved])),
            fix='correct "parent" in trivium.json',
        )
    if path.is_file() or _is_prepared(path):
        return _corpus(path, called, recorded)
    return _saved(path, called, recorded, [*above, resolved])


# Models and adapters -------------------------------------------------------------------------------------------------


def _saved(folder: pathlib.Path, called: str, recorded: str | None, above: Sequence[pathlib.Path]) -> Link:
    adapter = is_adapter(folder)
    described = read_description(folder)
    parent = described.get("parent") or read_adapter_config(folder).get("base_model_name_or_path")
    own = own_manifest(folder)
    listed = weights_sha256(folder) if own else None
    notes = _damage(folder)
    # Where every file is as its manifest says, the weights have just been read once.
    found = weights_sha256(folder, read=True) if notes or listed is None else listed
    if recorded is not None and found != recorded:
        notes.append("its weights are not those that were trained further")
    before = [
        _earlier(folder, str(name), _text(described, digest), above)
        for name, digest in ((parent, "parent_sha256"), (described.get("adapter"), "adapter_sha256"))
        if name is not None
    ]
    before += [*_data(folder, described), *_tokenizer(folder, described, own)]
    return Link(
        kind="adapter" if adapter else "tuned" if parent else "base",
        path=called,
        recorded=recorded or listed,
        found=found,
        state="altered" if notes else "verified",
        note="; ".join(notes),
        details=() if own else ("no manifest: only what was made from it says what its weights were",),
        made_from=tuple(before),
    )


def _earlier(folder: pathlib.Path, name: str, recorded: str | None, above: Sequence[pathlib.Path]) -> Link:
    """The model or adapter that ``folder`` names as what it was made from."""
    place = named_place(folder, name)
    missing = "no model on this machine, under this path"
    try:
        saved = None if place is None else saved_folder(place)
    except UserError as error:
        saved, missing = None, error.what
    if saved is None or not (is_model(saved) or is_adapter(saved)):
        return Link(kind="base", path=name, recorded=recorded, found=None, state="not found", note=missing)
    try:
        return _link(saved, name, recorded, above)
    except _Circle:
        raise
    except CheckpointError as error:
        return Link(kind="base", path=name, recorded=recorded, found=None, state="altered", note=error.what)


def _damage(folder: pathlib.Path) -> list[str]:
    """What differs from the folder's own manifest; nothing where it has none."""
    if not (folder / MANIFEST).is_file():
        return []
    try:
        verify_folder(folder)
    except CheckpointError as error:
        return [str(error.received or error.what).replace("\n", ", ")]
    return []


def _tokenizer(folder: pathlib.Path, described: dict[str, Any], own: dict[str, dict[str, Any]]) -> list[Link]:
    found = tokenizer_sha256(folder)
    recorded = _text(described, "tokenizer_sha256") or own.get("tokenizer.json", {}).get("sha256")
    if found is None and recorded is None:
        return []
    state, note = _compared(recorded, found, "the vocabulary is not the one that was saved with the model")
    path = str(folder / "tokenizer.json")
    return [Link(kind="tokenizer", path=path, recorded=recorded, found=found, state=state, note=note)]


# Data ----------------------------------------------------------------------------------------------------------------


def _data(folder: pathlib.Path, described: dict[str, Any]) -> list[Link]:
    """The data that a model says it was trained on, if it says so."""
    names, prints = described.get("data"), described.get("data_fingerprint")
    if isinstance(names, list) and isinstance(prints, list):  # a text and its translation
        pairs = zip(names, prints, strict=False)
        return [link for name, one in pairs for link in _data(folder, {"data": name, "data_fingerprint": one})]
    recorded, name = _text(described, "data_fingerprint"), _text(described, "data")
    if recorded is None and name is None:
        return []
    place = None if name is None else named_place(folder, name)
    if place is None:  # a run that prepared its text itself keeps it
        place = next((above / "data" for above in folder.resolve().parents[:2] if _is_prepared(above / "data")), None)
    if place is None:
        note = "not on this machine, under this path" if name else "its folder was not written down"
        return [Link(kind="corpus", path=name or "?", recorded=recorded, found=None, state="not found", note=note)]
    return [_corpus(place, name or str(place), recorded)]


def _corpus(path: pathlib.Path, called: str, recorded: str | None) -> Link:
    """Prepared data, or the file or folder that examples came from."""
    if not _is_prepared(path):
        digest = content_sha256(path)
        state, note = _compared(recorded, digest, "it is not what was trained on")
        return Link(kind="corpus", path=called, recorded=recorded, found=digest, state=state, note=note)
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    own = _text(manifest, "fingerprint")
    try:
        found: str | None = prepared_data.open_prepared(path).fingerprint
        damage = ""
    except UserError as error:
        found, damage = None, str(error.received or error.what)
    recorded = recorded or own
    state, note = _compared(recorded, found, _why_other(manifest, recorded))
    return Link(
        kind="corpus",
        path=called,
        recorded=recorded,
        found=found,
        state="altered" if damage else state,
        note=damage or note,
        details=tuple(_sources(manifest)),
        made_from=_vocabulary_of(path, manifest),
    )


def _vocabulary_of(folder: pathlib.Path, manifest: dict[str, Any]) -> tuple[Link, ...]:
    described = manifest.get("tokenizer")
    recorded = _text(described, "sha256") if isinstance(described, dict) else None
    found = tokenizer_sha256(folder)
    state, note = _compared(recorded, found, "the vocabulary is not the one that the text was encoded with")
    path = str(folder / "tokenizer.json")
    return (Link(kind="tokenizer", path=path, recorded=recorded, found=found, state=state, note=note),)


def _why_other(manifest: dict[str, Any], recorded: str | None) -> str:
    forgotten = [entry for entry in manifest.get("forgotten", []) if isinstance(entry, dict)]
    earlier = [entry.get("fingerprint") for entry in forgotten]
    if recorded in earlier:
        since = forgotten[earlier.index(recorded) :]
        count = len({digest for entry in since for digest in entry.get("id_sha256", [])})
        told = "1 document has" if count == 1 else f"{count:,} documents have"
        return f"{told} been forgotten since: what was trained on it saw {'it' if count == 1 else 'them'}"
    return "the data is not the one that was trained on"


def _sources(manifest: dict[str, Any]) -> Iterator[str]:
    for source in manifest.get("sources", []):
        if isinstance(source, dict):
            licence = source.get("licence") or ", ".join(source.get("licences") or ()) or "licence unknown"
            digest = str(source.get("sha256") or "no hash")[:12]
            yield f"{source.get('source')}: {licence}, {digest}, {source.get('documents')} documents"


# Small things --------------------------------------------------------------------------------------------------------


def _compared(recorded: str | None, found: str | None, difference: str) -> tuple[State, str]:
    if found is None:
        return "not found", "the file is not there"
    if recorded is None:
        return "verified", "no hash was written down to compare with"
    return ("verified", "") if recorded == found else ("altered", difference)


def _is_prepared(folder: pathlib.Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == prepared_data.FORMAT


def _text(mapping: dict[str, Any], name: str) -> str | None:
    value = mapping.get(name)
    return value if isinstance(value, str) else None


def _oldest_first(link: Link) -> Iterator[Link]:
    for before in link.made_from:
        yield from _oldest_first(before)
    yield link
