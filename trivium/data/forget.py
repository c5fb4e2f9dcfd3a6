"""Taking a document out of prepared data, and finding what was trained on it.

    forgotten = forget(Path("prepared"), "letters/17.txt")
    forgotten.runs               # every run that saw it: these have to be trained again

The shards are written anew without it and the folder is replaced in one move, under a new fingerprint. What is kept of
the document are hashes, so that nobody can be told what was in it and everybody can be told that it is gone.

Two traces stay, and are named here because they cannot be removed without starting over: the vocabulary was learnt with
the document in the text, and the sources still hold it. Remove it there too before preparing them again.
"""

import bisect
import datetime
import difflib
import json
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivium.data.licences import UNKNOWN
from trivium.data.prepared import (
    DOCUMENTS,
    DOCUMENTS_SHA256,
    FUNNEL,
    FUNNEL_PAGE,
    MANIFEST,
    Prepared,
    documents_sha256,
    fingerprint,
    open_prepared,
)
from trivium.data.provenance import StoredDocument, balance_of, stored_documents, text_sha256
from trivium.data.runs import RunThatSaw, runs_that_saw
from trivium.data.shards import ShardWriter, TokenStore
from trivium.data.staging import staged_folder
from trivium.errors import DataError

SIDES = ("train", "validation")
_NAMED = 5
_COMPARED_IDS = 20_000


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What was removed, and who saw it."""

    documents: int
    """Documents removed: the one that was asked for and those of `together`; 0 where it was forgotten before."""
    places: int
    """Where they were stored: a document has several where its end is held out, or where a mixture repeats it."""
    tokens: int
    """Tokens removed with them."""
    runs: tuple[RunThatSaw, ...]
    """Every run that was trained on data that held it, or made from one that was; of a document that was forgotten
    before, those that were found then as well."""
    together: tuple[str, ...] = ()
    """Other documents that were joined with it into one: their parts cannot be told apart, so they went as well."""
    fingerprint: str
    """Of the data as it is now."""


def forget(prepared_folder: Path, document_id: str, runs: Sequence[Path] = (Path("runs"),)) -> Forgotten:
    """Remove a document, by its id or the SHA-256 of its text, and list the runs below ``runs`` that saw it.

    Raises:
        DataError: there is no such document, or nothing would be left to train or to measure on.
        StorageError: the folder cannot be written, or holds no prepared data.
    """
    prepared = open_prepared(prepared_folder)
    gone = _all_of(document_id, prepared.folder)
    if not gone:
        return _forgotten_before(prepared, document_id, runs)
    # What is there now was there before every earlier removal.
    seen_in = {prepared.fingerprint, *(entry["fingerprint"] for entry in _removals(prepared))}
    stores = {"train": prepared.train, "validation": prepared.validation}
    removed = {side: sorted(document.index for document in gone if document.side == side) for side in SIDES}
    _check_enough_left(stores, removed)
    found = runs_that_saw(seen_in, prepared.folder, runs)  # before anything is changed: a fault leaves all as it was
    tokens = sum(_tokens(stores[document.side], document.index) for document in gone)
    with staged_folder(prepared.folder) as staging:
        _copy_rest(prepared.folder, staging, {side for side in SIDES if removed[side]})
        for side in SIDES:
            if removed[side]:
                _write_side(staging / side, stores[side], set(removed[side]))
        _write_documents(staging / DOCUMENTS, prepared.folder, removed)
        _remove_examples(staging / FUNNEL, {i for document in gone for i in document.ids})
        manifest = _manifest(prepared, staging, gone, found)
        (staging / MANIFEST).write_text(_json(manifest), encoding="utf-8")
    together = tuple(dict.fromkeys(i for document in gone for i in document.ids if i != document_id))
    return Forgotten(
        documents=len({(document.source, i) for document in gone for i in document.ids}),
        places=len(gone),
        tokens=tokens,
        runs=found,
        together=together if document_id not in {document.sha256 for document in gone} else (),
        fingerprint=manifest["fingerprint"],
    )


def _all_of(document_id: str, folder: Path) -> list[StoredDocument]:
    """Every stored document that holds it: several where its end is held out, or where a mixture repeats it."""
    names = {document_id}
    for document in stored_documents(folder):
        if document.sha256 == document_id:
            names |= set(document.ids)
    return [document for document in stored_documents(folder) if names & {*document.ids}]


def _removals(prepared: Prepared) -> list[dict[str, Any]]:
    return prepared.manifest.get("forgotten", [])


def _forgotten_before(prepared: Prepared, document_id: str, runs: Sequence[Path]) -> Forgotten:
    """What is told of a document that is gone already. Raises `DataError` where it never was there."""
    removals, names = _removals(prepared), {document_id, text_sha256(document_id)}
    own = [n for n, entry in enumerate(removals) if names & {*entry["id_sha256"], entry["text_sha256"]}]
    if not own:
        raise _unknown(document_id, prepared.folder)
    told = [RunThatSaw(folder=Path(run[0]), because=run[1]) for n in own for run in removals[n].get("runs", ())]
    seen_in = {entry["fingerprint"] for entry in removals[: own[-1] + 1]}
    found = {run.folder: run for run in (*told, *runs_that_saw(seen_in, prepared.folder, runs))}
    return Forgotten(documents=0, places=0, tokens=0, runs=tuple(found.values()), fingerprint=prepared.fingerprint)


def _check_enough_left(stores: Mapping[str, TokenStore], removed: Mapping[str, Sequence[int]]) -> None:
    empty = [side for side in SIDES if len(removed[side]) >= stores[side].num_documents]
    if empty:
        raise DataError(
            "nothing would be left of the data",
            received=f"no document to {'train' if 'train' in empty else 'measure'} on",
            fix="prepare the sources again without this document",
        )


def _unknown(document_id: str, folder: Path) -> DataError:
    wanted, count = document_id.casefold(), 0
    near: list[str] = []
    first: list[str] = []
    for document in stored_documents(folder):
        count += len(document.ids)
        near += [i for i in document.ids if wanted and wanted in i.casefold() and len(near) < _NAMED]
        first += document.ids if len(first) < _COMPARED_IDS else ()
    # Comparing letter by letter is slow: of a large collection only the beginning is compared so.
    near += [i for i in difflib.get_close_matches(document_id, first, n=_NAMED) if i not in near]
    return DataError(
        "there is no such document in this data",
        received=document_id,
        expected=f"the id of one of {count:,} documents, or the SHA-256 of its text",
        fix=f"did you mean {', '.join(near[:_NAMED])}?" if near else f"see the ids in {DOCUMENTS}",
    )


# The folder without it -----------------------------------------------------------------------------------------------


def _copy_rest(folder: Path, staging: Path, altered: set[str]) -> None:
    """Everything but what is written anew, and the page of the funnel, which quotes documents."""
    for path in folder.iterdir():
        if path.name in altered or path.name in (MANIFEST, DOCUMENTS, FUNNEL_PAGE):
            continue
        if path.is_dir():
            shutil.copytree(path, staging / path.name, symlinks=True)
        else:
            shutil.copy2(path, staging / path.name, follow_symlinks=False)


def _write_side(folder: Path, store: TokenStore, removed: Collection[int]) -> None:
    folder.mkdir()
    writer = ShardWriter(folder, vocabulary_size=store.vocabulary_size)
    for index in range(store.num_documents):
        if index not in removed:
            writer.add(store.document(index), int(store.document_bytes[index]))
    writer.finish()


def _write_documents(path: Path, folder: Path, removed: Mapping[str, Sequence[int]]) -> None:
    """The lines that are left, each with its new place."""
    with path.open("w", encoding="utf-8") as file:
        for document in stored_documents(folder):
            before = bisect.bisect_left(removed[document.side], document.index)
            if before == len(removed[document.side]) or removed[document.side][before] != document.index:
                line = {**json.loads(document.line), "index": document.index - before}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _remove_examples(path: Path, ids: set[str]) -> None:
    """The funnel shows beginnings of documents: those of the forgotten ones go, by id and by mention."""
    if not path.is_file():
        return
    steps = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(_json(_without(steps, ids)), encoding="utf-8")


def _without(value: Any, ids: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(inner, ids) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, ids) for inner in value if not _mentions(inner, ids)]
    return value


def _mentions(example: Any, ids: set[str]) -> bool:
    if not isinstance(example, Mapping):
        return False
    reason = example.get("reason")
    # "repeats ID", "nearly repeats ID": what is shown then is nearly its text.
    named = isinstance(reason, str) and any(f" {reason}".endswith(f" {i}") for i in ids)
    return named or example.get("id") in ids


def _manifest(
    prepared: Prepared, staging: Path, gone: Sequence[StoredDocument], runs: Sequence[RunThatSaw]
) -> dict[str, Any]:
    """The manifest of the new folder: its counts and fingerprint, hashes of what was removed, and who had seen it."""
    stores = {side: TokenStore.open(staging / side, verify=False) for side in SIDES}
    documents = documents_sha256(staging)
    now = fingerprint(prepared.tokenizer, stores["train"], stores["validation"], documents)
    manifest = {**prepared.manifest, DOCUMENTS_SHA256: documents}
    removals = [
        {
            "id_sha256": [text_sha256(i) for i in document.ids],
            "text_sha256": document.sha256,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "fingerprint": prepared.fingerprint,
            "runs": [[str(run.folder), run.because] for run in runs],
        }
        for document in {(document.ids, document.sha256): document for document in gone}.values()
    ]
    manifest |= {"fingerprint": now, "forgotten": [*_removals(prepared), *removals]}
    manifest["tokens"] = sum(store.num_tokens for store in stores.values())
    manifest["bytes_out"] = sum(store.num_bytes for store in stores.values())
    if "documents_out" in manifest:
        manifest["documents_out"] -= sum(_different(gone).values())
    counts = {"documents": "num_documents", "tokens": "num_tokens", "text_bytes": "num_bytes"}
    manifest["sides"] = {s: {key: getattr(store, name) for key, name in counts.items()} for s, store in stores.items()}
    if "balance" in manifest:
        manifest["balance"] = balance_of(staging, stores["train"]).to_json()
    return manifest | _fewer(manifest, gone)


def _fewer(manifest: Mapping[str, Any], gone: Sequence[StoredDocument]) -> dict[str, Any]:
    """What the manifest counts by licence, and names in its mixture, without the documents that are gone."""
    fewer: dict[str, Any] = {}
    if isinstance(manifest.get("licences"), Mapping):
        left = Counter(manifest["licences"])
        left.subtract(_different(gone))
        fewer["licences"] = {name: count for name, count in sorted(left.items()) if count > 0}
    if isinstance(manifest.get("mixture"), Mapping):  # a group may have the name of its only document
        ids = {i for document in gone for i in document.ids}
        fewer["mixture"] = {name: part for name, part in manifest["mixture"].items() if name not in ids}
    return fewer


def _different(gone: Sequence[StoredDocument]) -> Counter[str]:
    """How many documents are gone, by licence; one that a mixture repeats is one."""
    once = {(document.side, document.ids, document.sha256): document for document in gone}
    counts: Counter[str] = Counter()
    for document in once.values():
        counts[document.licence or UNKNOWN] += len(document.ids)
    return counts


def _tokens(store: TokenStore, index: int) -> int:
    return int(store.boundaries[index + 1] - store.boundaries[index])


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
