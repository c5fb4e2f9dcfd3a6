"""The folder that `trivium prepare` leaves: shards, vocabulary, and everything that is told about them."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trivium import tokenizers
from trivium.data import mixtures, spool
from trivium.data.balance import NAMED, By
from trivium.data.decide import Corpus
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.licences import UNKNOWN
from trivium.data.prepared import (
    DOCUMENTS,
    DOCUMENTS_SHA256,
    FORMAT,
    FUNNEL,
    FUNNEL_PAGE,
    MANIFEST,
    PASSED_OVER,
    documents_sha256,
    fingerprint,
    open_prepared,
)
from trivium.data.provenance import balance_of
from trivium.data.shards import ShardWriter, TokenStore
from trivium.reports.funnel import funnel_page
from trivium.reports.page import write

_SHOWN_TOKENS = 100
_TOLD = ("side", "ids", "source", "licence", "group", "language", "label", "sha256")
"""What documents.jsonl tells of a document, beside its place."""


def _sizes_in_and_out(funnel: Funnel, documents_out: int, sides: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    return {
        "documents_in": funnel.documents_in,
        "documents_out": documents_out,
        "bytes_in": funnel.bytes_in,
        "bytes_out": sum(side["text_bytes"] for side in sides.values()),
        "removed": funnel.removed,
        "tokens": sum(side["tokens"] for side in sides.values()),
    }


def fill(
    folder: Path,
    corpus: Corpus,
    tokenizer: tokenizers.Tokenizer,
    funnel: Funnel,
    *,
    sources: Mapping[str, dict[str, Any]],
    split_by: str,
    mixture: mixtures.Mixture | None,
    kind: str,
    told: Mapping[str, Any],
) -> None:
    """Writes what `trivium.recipes.prepare` lists into the empty ``folder``.

    Args:
        folder: where to.
        corpus: the units, encoded.
        tokenizer: what they were encoded with.
        funnel: what was removed on the way.
        sources: by name: documents, bytes, licences and the hashes of its units.
        split_by: how validation was held out.
        mixture: how much of each source, language, label or group to take; None: everything once.
        kind: of the vocabulary; "given" where it was not trained here.
        told: what else the manifest is to hold.
    """
    tokenizer.save(folder)
    plan = None if mixture is None else mixtures.plan(_sizes(corpus, mixture.by), mixture)
    counts = _write_shards(folder, corpus, tokenizer, funnel, lambda row: _passes(row, plan, mixture))
    stores = [TokenStore.open(folder / side, verify=False) for side in ("train", "validation")]
    sides = {
        side: {"documents": store.num_documents, "tokens": store.num_tokens, "text_bytes": store.num_bytes}
        for side, store in zip(("train", "validation"), stores, strict=True)
    }
    documents = documents_sha256(folder)
    manifest = {
        "format": FORMAT,
        "fingerprint": fingerprint(tokenizer, *stores, documents),
        DOCUMENTS_SHA256: documents,
        **_sizes_in_and_out(funnel, int(counts["documents"]), sides),
        "split": split_by,
        "sides": sides,
        "vocabulary_size": tokenizer.vocabulary_size,
        "tokenizer": _vocabulary_facts(tokenizer, kind),
        "licences": dict(sorted(counts["licences"].items())),
        "sources": [_source_facts(name, row) for name, row in sources.items()],
        "balance": balance_of(folder, stores[0]).to_json(),
        "mixture": None if plan is None else _largest_parts(plan),
        **told,
    }
    if funnel.passed_over:
        names = ("name", "reason", "source")
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in funnel.passed_over]
        (folder / PASSED_OVER).write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = funnel.rows()
    (folder / FUNNEL).write_text(_json(rows), encoding="utf-8")
    (folder / MANIFEST).write_text(_json(manifest), encoding="utf-8")
    write(funnel_page(manifest, rows), folder / FUNNEL_PAGE)


def _sizes(corpus: Corpus, by: By) -> Counter[str]:
    """Tokens to train on of each source, language, label or group."""
    sizes: Counter[str] = Counter()
    for unit in corpus.units:
        for row in spool.read_json(unit.file("encoded.json")):
            if row["side"] == "train":
                sizes[row[by] or UNKNOWN] += row["tokens"]
    return sizes


def _largest_parts(plan: mixtures.Plan) -> dict[str, Any]:
    """What the mixture takes of each; of many groups the largest."""
    parts = sorted(plan.parts.items(), key=lambda item: (-item[1].size, item[0]))
    return {name: asdict(part) for name, part in parts[:NAMED]}


def _write_shards(
    folder: Path,
    corpus: Corpus,
    tokenizer: tokenizers.Tokenizer,
    funnel: Funnel,
    passes_of: Callable[[Mapping[str, Any]], int],
) -> dict[str, Any]:
    """Puts the ids of all units together, and tells in documents.jsonl where each document comes from."""
    writers = {}
    for side in ("train", "validation"):
        (folder / side).mkdir()
        writers[side] = ShardWriter(folder / side, vocabulary_size=tokenizer.vocabulary_size)
    places: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    with (folder / DOCUMENTS).open("w", encoding="utf-8", newline="\n") as lines:
        for row, ids in _encoded(corpus):
            side, passes = row["side"], passes_of(row)
            if not passes:
                _leave_out(row, tokenizer.decode(ids[:_SHOWN_TOKENS].tolist()), funnel)
            for _ in range(passes):
                writers[side].add(ids, row["bytes"])
                told = {key: row[key] for key in _TOLD}
                lines.write(json.dumps({**told, "index": places[side]}, ensure_ascii=False) + "\n")
                places[side] += 1
            licences[row["licence"] or UNKNOWN] += len(row["ids"]) if passes else 0
    for writer in writers.values():
        writer.finish()
    return {"documents": licences.total(), "licences": +licences}


def _encoded(corpus: Corpus) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each document that was encoded, and its ids."""
    for unit in corpus.units:
        ids, end = spool.read_array(unit.file("ids")), 0
        for row in spool.read_json(unit.file("encoded.json")):
            begin, end = end, end + row["tokens"]
            yield row, ids[begin:end]


def _passes(row: Mapping[str, Any], plan: mixtures.Plan | None, mixture: mixtures.Mixture | None) -> int:
    """How often a document is in the corpus. What is held out is measured once."""
    if plan is None or mixture is None or row["side"] != "train":
        return 1
    return mixtures.repeats(row["ids"][0], plan.parts[row[mixture.by] or UNKNOWN].passes, seed=mixture.seed)


def _leave_out(row: Mapping[str, Any], begin: str, funnel: Funnel) -> None:
    """A document that the mixture does not draw."""
    shown = Document(id=row["ids"][0], text=begin, origin=row["source"], kind="text", group=row["group"])
    sources = {row["source"]: len(row["ids"])}
    funnel.remove_all("mixture", bytes=row["bytes"], sources=sources, examples=[(shown, "not drawn")])


def _vocabulary_facts(tokenizer: tokenizers.Tokenizer, kind: str) -> dict[str, Any]:
    content = tokenizer.files()["tokenizer.json"].encode("utf-8", "surrogatepass")
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "kind": kind,
        "vocabulary_size": tokenizer.vocabulary_size,
    }


def _source_facts(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """One source for the manifest; its licence where all of it has one."""
    digest = hashlib.sha256("\n".join(row["sha256"]).encode()).hexdigest()
    licences = dict(sorted(row["licences"].items()))
    only = next(iter(licences)) if len(licences) == 1 else None
    return {
        "source": name,
        "licence": None if only == UNKNOWN else only,
        "licences": licences,
        "sha256": digest,
        "documents": row["documents"],
        "bytes": row["bytes"],
        "retrieved": _date_of(name),
    }


def _date_of(source: str) -> str | None:
    """The day on which the source was last changed: reading it again on another day is no other data."""
    try:
        changed = Path(source).stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(changed, UTC).date().isoformat()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_funnel_page(folder: str | Path) -> None:
    """Draws `funnel.html` of a prepared folder again, from what it holds now."""
    prepared = open_prepared(folder, verify=False)
    write(funnel_page(prepared.manifest, prepared.funnel), prepared.folder / FUNNEL_PAGE)
