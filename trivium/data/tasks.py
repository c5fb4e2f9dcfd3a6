"""What one worker does at a time: read a unit of the sources, cut what the corpus repeats, encode a unit.

A unit is some megabytes of the sources: whole files, or a piece of a large one. Everything about it lies in the work
folder, so that any process, on any machine that sees the folder, can do any task, and a task that was done is not done
again:

    settings.json             what is asked for, the same for all units
    units/00012.raw.jsonl     documents that were given and not read from files
    units/00012.jsonl         the documents that the rules kept
    units/00012.digests       their digests [N, 2] uint64;  .signatures [N, entries] uint32, where asked for
    units/00012.units         digests of their paragraphs [units] uint64, and .counts of how many each has
    units/00012.read.json     the funnel of the unit and its sources: written last, it says that reading is done
    units/00012.gone          decided over all units: paragraphs that go, [units] bool
    units/00012.cut.jsonl     the documents without them
    units/00012.cut.json      the funnel of cutting, and the bytes that are left of each document: written last
    units/00012.passages.jsonl   the documents without repeated passages
    units/00012.fate          decided over all units: what becomes of each document, [N] uint8
    units/00012.ids           the token ids of all documents, one after the other, [tokens] uint32
    units/00012.encoded.json  which documents they are: written last

A text has a file for each of its states, so that what a task reads never depends on how far a killed preparation came.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trivium import config as configuration
from trivium import tokenizers
from trivium.data import spool
from trivium.data.dedup import exact, paragraphs
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.dedup.paragraphs import ParagraphConfig
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.licences import UNKNOWN
from trivium.data.pieces import Piece, pieces
from trivium.data.provenance import text_sha256
from trivium.data.readers import HARMLESS, Part, PassedOver, ReadOptions, read_part
from trivium.data.refine import TextConfig, forget_models, refine
from trivium.data.splits import REMOVED

Announce = Callable[[str | None], None]
"""Told the name of the file that is being read, before it is opened; and None when there are no more."""

READ, CUT, PASSAGES = "jsonl", "cut.jsonl", "passages.jsonl"
"""The states of a text: as the rules leave it, without repeated paragraphs, without repeated passages."""


@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig:
    """What is said twice, and goes."""

    exact: bool = True
    """Remove documents that repeat an earlier one, up to case and white space."""
    near: bool = True
    """Remove documents that nearly repeat an earlier one; see `minhash`."""
    minhash: MinHashConfig = field(default_factory=MinHashConfig)
    """What counts as nearly."""
    repeated_paragraphs: bool = False
    """Remove paragraphs that an earlier document has; see `paragraphs`."""
    paragraphs: ParagraphConfig = field(default_factory=ParagraphConfig)
    """What is compared."""
    passage_characters: int | None = None
    """Remove passages of at least so many characters that were said before, word for word (Lee et al. 2022 take 50
    tokens). The whole text is held in memory for it; null leaves them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all tasks of one preparation share."""

    reading: ReadOptions
    text: TextConfig
    duplicates: DuplicatesConfig
    join_groups: bool
    held_out_tail: float
    forgotten: tuple[str, ...] = ()
    """SHA-256 of the ids and the texts of documents to leave out, without a word of them in the funnel."""


class Unit:
    """The files of one unit."""

    def __init__(self, work: Path, number: int):
        self.number = number
        self._stem = work / "units" / f"{number:05d}"

    def file(self, kind: str) -> Path:
        """One of the files that the head of this module lists."""
        return self._stem.with_name(f"{self._stem.name}.{kind}")

    def kept(self, state: str, fates: np.ndarray) -> Iterator[tuple[Document, int]]:
        """(document, fate) of each that is not removed, with its text as it is in ``state``."""
        for document, fate in zip(spool.read_documents(self.file(state)), fates.tolist(), strict=True):
            if fate != REMOVED:
                yield document, fate


def perform(request: dict[str, Any], announce: Announce = lambda name: None) -> None:
    """Carries out a request, which is JSON; "key" is that of its preparation. The answer lies in the work folder.

    Raises `UserError` for a source or a model that cannot be used, and `OSError` for a folder that cannot be written.
    """
    work = Path(request["work"])
    unit = Unit(work, request["unit"])
    settings = _settings(str(work), request["key"])
    if request["task"] == "read":
        _read(unit, settings, request, announce)
    elif request["task"] == "cut":
        _cut(unit, settings)
    else:
        _encode(unit, settings, work, request["state"])


@lru_cache(maxsize=1)
def _settings(work: str, key: str) -> Settings:
    # Another preparation in the same process: what the last one read may have changed under the same name.
    forget_models()
    _tokenizer.cache_clear()
    path = Path(work) / "settings.json"
    return configuration.from_dict(Settings, spool.read_json(path), source=str(path))


# Reading ---------------------------------------------------------------------------------------------------------


def _read(unit: Unit, settings: Settings, request: dict[str, Any], announce: Announce) -> None:
    """Documents of the unit that the rules keep, with what is needed to find their copies."""
    funnel, sources, forgotten = Funnel(), _Sources(), frozenset(settings.forgotten)
    kept: list[Document] = []
    for document in _documents(unit, settings, request, funnel, announce):
        funnel.enter(document)
        sources.add(document)
        told = Funnel()
        refined = refine(document, settings.text, told)
        if forgotten and not forgotten.isdisjoint(_hashes(document, refined)):
            funnel.forget(document)  # and what the rules told of it, which quotes it
            continue
        funnel.add(told)
        if refined is not None:
            kept.append(refined)
    texts = [document.text for document in kept]
    spool.write_documents(unit.file(READ), kept)
    digests = exact.as_array([exact.digest(text) for text in texts])
    spool.write_array(unit.file("digests"), digests)
    if settings.duplicates.near:
        spool.write_array(unit.file("signatures"), signatures(texts, settings.duplicates.minhash))
    if settings.duplicates.repeated_paragraphs:
        found = [paragraphs.digests(text, settings.duplicates.paragraphs) for text in texts]
        spool.write_array(unit.file("counts"), np.array([len(each) for each in found], dtype=np.int64))
        spool.write_array(unit.file("units"), np.concatenate([np.zeros(0, dtype=np.uint64), *found]))
    report = {
        "funnel": funnel.to_json(),
        "sources": sources.rows(),
        "documents": [[d.num_bytes, d.group, d.origin, d.language, d.label] for d in kept],
    }
    spool.write_json(unit.file("read.json"), report)


def _documents(
    unit: Unit, settings: Settings, request: dict[str, Any], funnel: Funnel, announce: Announce
) -> Iterator[Document]:
    """The documents of the unit. Raises `DataError` for a file that must not be passed over."""
    if unit.file("raw.jsonl").exists():
        yield from spool.read_documents(unit.file("raw.jsonl"))
        return
    stuck = set(request["stuck"])
    for part in map(Part.from_json, request["parts"]):
        if part.name in stuck:
            # Its reader was stopped: it had taken too long, or brought its process down.
            found: Iterator[Document | PassedOver] = iter(
                [PassedOver(name=part.name, reason="reading it took too long or too much memory")]
            )
        else:
            announce(part.name)
            found = read_part(part, settings.reading)
        for document in found:
            if isinstance(document, Document):
                yield _storable(document)
            elif _must_be_read(document, part, strict=request["strict"]):
                raise document.error(part.path)
            else:
                reason = f"{document.reason} ({document.detail})" if document.detail else document.reason
                funnel.pass_over(document.name, reason, part.source)
    announce(None)


def _hashes(document: Document, refined: Document | None) -> Iterator[str]:
    """What a document that was forgotten is known by: its id, and its text as it was stored."""
    yield text_sha256(document.id)
    if refined is not None:
        yield refined.hash


def _storable(document: Document) -> Document:
    """The document with names that can be written: JSON can spell halves of characters, and UTF-8 cannot."""
    names = {name: getattr(document, name) for name in ("id", "origin", "group", "licence", "language", "label")}
    spoilt = {name: text for name, text in names.items() if text and not text.isascii()}
    return replace(document, **{n: t.encode("utf-8", "backslashreplace").decode() for n, t in spoilt.items()})


def _must_be_read(found: PassedOver, part: Part, *, strict: bool) -> bool:
    return (part.is_named and found.name == part.name) or (strict and found.reason not in HARMLESS)


class _Sources:
    """For each source of a unit: documents, bytes, licences, and a hash over all that was read."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._hashes: dict[str, Any] = {}

    def add(self, document: Document) -> None:
        """A document as it was read."""
        row = self._rows.setdefault(document.origin, {"documents": 0, "bytes": 0, "licences": {}})
        row["documents"] += 1
        row["bytes"] += document.num_bytes
        licence = document.licence or UNKNOWN
        row["licences"][licence] = row["licences"].get(licence, 0) + 1
        self._hashes.setdefault(document.origin, hashlib.sha256()).update(bytes.fromhex(document.hash))

    def rows(self) -> dict[str, dict[str, Any]]:
        """By source, with "sha256"."""
        return {name: row | {"sha256": self._hashes[name].hexdigest()} for name, row in self._rows.items()}


# Cutting and encoding --------------------------------------------------------------------------------------------


def _cut(unit: Unit, settings: Settings) -> None:
    """The documents without the paragraphs that the corpus has elsewhere; nothing goes of those that are removed."""
    gone = spool.read_array(unit.file("gone"))
    ends = np.cumsum(spool.read_array(unit.file("counts")))
    funnel, after = Funnel(), []
    for document, end, begin in zip(spool.read_documents(unit.file(READ)), ends, np.r_[0, ends[:-1]], strict=True):
        text = paragraphs.without(document.text, gone[begin:end], settings.duplicates.paragraphs)
        after.append(funnel.cut("repeated paragraph", document, text, {"paragraphs": int(gone[begin:end].sum())}))
    spool.write_documents(unit.file(CUT), after)
    spool.write_json(unit.file("cut.json"), {"funnel": funnel.to_json(), "bytes": [d.num_bytes for d in after]})


def _encode(unit: Unit, settings: Settings, work: Path, state: str) -> None:
    """The ids of the unit's documents, each between BOS and EOS where the vocabulary has them."""
    tokenizer = _tokenizer(str(work / "tokenizer"))
    before = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    after = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    kept = unit.kept(state, spool.read_array(unit.file("fate")))
    found = list(pieces(kept, join_groups=settings.join_groups, held_out_tail=settings.held_out_tail))
    encoded = [[*before, *ids, *after] for ids in tokenizer.encode_batch([piece.text for piece in found])]
    flat = np.fromiter((i for ids in encoded for i in ids), dtype=np.uint32, count=sum(map(len, encoded)))
    spool.write_array(unit.file("ids"), flat)
    rows = [_row(piece, len(ids)) for piece, ids in zip(found, encoded, strict=True)]
    spool.write_json(unit.file("encoded.json"), rows)


def _row(piece: Piece, tokens: int) -> dict[str, Any]:
    """All that is told of a piece but its text."""
    row = asdict(piece)
    content = row.pop("text").encode()
    return {**row, "tokens": tokens, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@lru_cache(maxsize=1)
def _tokenizer(folder: str) -> tokenizers.Tokenizer:
    return tokenizers.load(folder)
