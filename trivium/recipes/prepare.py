"""From raw text to token shards: read, clean, judge, deduplicate, hold out, learn a vocabulary, encode.

    prepared = prepare(PrepareConfig(sources=("my_texts",), output=Path("data/mine")))

The output folder appears whole or not at all, and holds

    manifest.json           counts, settings, sources with their licences and hashes, and the fingerprint of the data
    funnel.json             what each step removed, with examples to look at;  funnel.html the same as a page
    documents.jsonl         where each document of the shards comes from
    passed_over.jsonl       files and records that gave no document, each with the reason; where there are any
    tokenizer.json          the vocabulary, with tokenizer_config.json
    train/  validation/     token shards

Text streams through worker processes a unit at a time, so memory does not grow with it. A preparation that was killed
goes on where it stopped when the same command is given again; the output is the same to the byte, with any number of
processes, on one machine or on a Ray cluster.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, cast

from trivium import config as configuration
from trivium import tokenizers
from trivium.data import mixtures, spool
from trivium.data.decide import Corpus
from trivium.data.documents import Document
from trivium.data.embedded import ORIGIN, PACKAGES, embedded_documents, embedded_entries
from trivium.data.funnel import Funnel
from trivium.data.licences import check_licences
from trivium.data.pool import Pool, make_pool
from trivium.data.prepared import (
    MANIFEST,
    Prepared,
    foreign_files,
    open_prepared,
)
from trivium.data.readers import HARMLESS, Part, PassedOver, ReadOptions, formats, list_parts, spool_stdin
from trivium.data.refine import TextConfig
from trivium.data.staging import staged_folder
from trivium.data.tasks import DuplicatesConfig, Settings
from trivium.data.work_folder import UNIT_BYTES, WorkFolder, undone
from trivium.errors import ConfigError, DataError, StorageError, UserError
from trivium.recipes.prepared_folder import fill
from trivium.runtime.atomic import folder_to_fill
from trivium.runtime.progress import Bar, bar

_STDIN = "-"
# What is read by our own few lines: no library stands between the file and us, so a small one needs no worker.
_PLAIN = frozenset((*formats.text.PROSE_SUFFIXES, *formats.text.CODE_SUFFIXES, *formats.jsonl.SUFFIXES))
_SHOWN_FILES = 5


@dataclass(frozen=True, kw_only=True)
class WorkConfig:
    """Who does the work."""

    processes: int | None = None
    """Worker processes; null: as many as there are processors, at most 16."""
    engine: Literal["local", "ray"] = "local"
    """Processes on this machine, or the workers of a Ray cluster that sees the same folders."""
    memory_gib: float = 4.0
    """Address space of a worker: what no file, however made, goes beyond."""
    seconds_a_file: float = 300.0
    """A file that takes longer to read is passed over."""

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise ConfigError("there must be at least one worker process", received=f"processes {self.processes}")
        if not (self.memory_gib >= 0.5 and self.seconds_a_file > 0):
            raise ConfigError(
                "a worker needs memory and time",
                received=f"memory_gib {self.memory_gib}, seconds_a_file {self.seconds_a_file}",
                expected="at least 0.5 GiB, and more than 0 seconds",
            )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Makes shards of tokens from text. To look at them: --inspect FOLDER; to remove a document: --forget ID."""

    sources: tuple[str, ...] = (ORIGIN,)
    """Files, folders, archives, hub:owner/name, or - for standard input; "embedded" is the documentation on this
    machine, "embedded:python" a part of it."""
    output: Path = Path("data")
    """Folder to write; data prepared there before is replaced."""
    reading: ReadOptions = field(default_factory=ReadOptions)
    """Encoding, names of fields, and the licence of sources that state none."""
    skip_unreadable: bool = True
    """Pass over files of a folder or archive that cannot be read, and say so, instead of stopping."""
    licences: tuple[str, ...] = ()
    """Refuse documents under other licences than these (SPDX), and under unknown ones; none allows all."""
    text: TextConfig = field(default_factory=TextConfig)
    """What is done to each document."""
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    """What is said twice, and goes."""
    validation_fraction: float = 0.05
    """Share of the text to hold out."""
    split: Literal["auto", "group", "cluster", "tail"] = "auto"
    """Hold out whole modules or files, with all that nearly repeats them (cluster), or the end of every document; auto:
    by group or cluster where there are enough."""
    leak_threshold: float = 0.5
    """Remove a validation document when this share of its words lies in runs of eight that training has; 1.1: never."""
    mix: bool = False
    """Take of each source as much as `mixture` says, instead of everything once."""
    mixture: mixtures.Mixture = field(default_factory=mixtures.Mixture)
    """With `mix`: weights, most passes, and how much in all."""
    kind: Literal["byte_bpe", "bpe", "wordpiece", "unigram", "word", "character"] = "byte_bpe"
    """Vocabulary to train."""
    vocabulary_size: int | None = 4096
    """Tokens in the vocabulary; for a character vocabulary, its limit. None: every character."""
    tokenizer: Path | None = None
    """Folder of a vocabulary to use as it is, instead of training one."""
    join_groups: bool = False
    """Write neighbouring documents of one module or file as one, in their order: more to look back on."""
    work: WorkConfig = field(default_factory=WorkConfig)
    """Who does the work."""


def prepare(config: PrepareConfig, *, documents: Sequence[Document] | None = None, silent: bool = False) -> Prepared:
    """Carry out ``config``; the same input gives the same bytes.

    ``documents`` are those of ``config.sources`` where a caller has read them already.

    Raises:
        ConfigError, DataError, TokenizerError, StorageError: before anything is written at ``config.output``.
    """
    _check(config)
    work = WorkFolder(folder_to_fill(config.output))
    try:
        return _prepared(config, work, documents, silent=silent)
    except OSError as error:
        work.remove()
        raise StorageError(
            "the data cannot be written",
            received=f"{error.filename or work.folder}: {error.strerror or error}",
            expected="a place with enough space and write permission",
            fix="free some space or choose another --output",
        ) from error
    except UserError:
        work.remove()
        raise


def summary(prepared: Prepared) -> dict[str, Any]:
    """What ``trivium prepare --json`` prints."""
    keys = ("documents_in", "documents_out", "bytes_in", "bytes_out", "removed", "tokens")
    return {**{key: prepared.manifest[key] for key in keys}, "manifest": str(prepared.folder / MANIFEST)}


def _prepared(
    config: PrepareConfig, work: WorkFolder, documents: Sequence[Document] | None, *, silent: bool
) -> Prepared:
    given, parts, funnel = _listed(config, work, documents)
    wanted = {key: value for key, value in configuration.to_dict(config).items() if key not in ("output", "work")}
    settings = Settings(
        reading=config.reading,
        text=config.text,
        duplicates=config.duplicates,
        join_groups=config.join_groups,
        held_out_tail=config.validation_fraction,
    )
    reading = work.begin(configuration.to_dict(settings), wanted, parts, given, strict=not config.skip_unreadable)
    if not reading:
        raise _nothing(config, funnel)
    small = sum(part.num_bytes for part in parts) < UNIT_BYTES and all(
        formats.suffix(part.name) in _PLAIN for part in parts
    )
    pool = make_pool(
        config.work.engine,
        min(config.work.processes or min(os.cpu_count() or 1, 16), len(reading)),
        memory_gib=config.work.memory_gib,
        seconds_a_file=config.work.seconds_a_file,
        harmless=small and config.work.processes is None,
    )
    with bar("preparing", 2 * len(reading) + 3, unit="units", silent=silent) as progress, pool:
        progress.start_from(len(reading) - len(undone(reading, "read.json")))
        _carry_out(pool, undone(reading, "read.json"), progress, "read and cleaned")
        corpus, sources = _gathered(config, work, len(reading), funnel)
        if not len(corpus):
            raise _nothing(config, funnel)
        by = _decided(config, corpus, funnel, pool, work)
        progress.advance(1, f"{len(corpus):,} documents, split by {by}")
        tokenizer = _vocabulary(config, corpus, by, work)
        progress.advance(1, f"vocabulary of {tokenizer.vocabulary_size:,}")
        encoding = [{"task": "encode", "work": str(work.folder), "unit": unit.number} for unit in corpus.units]
        _carry_out(pool, undone(encoding, "encoded.json"), progress, "encoded")
        with staged_folder(config.output) as folder:
            fill(
                folder,
                corpus,
                tokenizer,
                funnel,
                sources=sources,
                split_by=by,
                mixture=config.mixture if config.mix else None,
                kind=config.kind if config.tokenizer is None else "given",
                settings=wanted,
            )
        progress.advance(1, f"written to {config.output}")
    work.remove()
    return open_prepared(config.output, verify=False)


def _carry_out(pool: Pool, requests: Sequence[dict[str, Any]], progress: Bar, note: str) -> list[dict[str, Any]]:
    answers = []
    for answer in pool.map(requests):
        answers.append(answer)
        progress.advance(1, note)
    return answers


# Before the work -------------------------------------------------------------------------------------------------


def _check(config: PrepareConfig) -> None:
    """Refuse what cannot work before anything is read."""
    if not 0 < config.validation_fraction < 1:
        raise ConfigError(
            "validation_fraction must leave text on both sides",
            received=config.validation_fraction,
            expected="a number between 0 and 1",
            fix="set validation_fraction to 0.05",
        )
    if not config.sources:
        raise ConfigError("there is nothing to prepare", expected="at least one source", fix="name a file or a folder")
    if config.kind not in ("character", "word") and config.vocabulary_size is None and config.tokenizer is None:
        raise ConfigError(
            f"a {config.kind} vocabulary needs a size", received="vocabulary_size None", fix="set it to 4096"
        )
    foreign = foreign_files(folder_to_fill(config.output))
    if foreign:
        more = " ..." if len(foreign) > _SHOWN_FILES else ""
        raise StorageError(
            "the output folder holds something else than prepared data, and preparing would delete it",
            received=f"{config.output}: {', '.join(foreign[:_SHOWN_FILES])}{more}",
            expected="a new or empty folder, or one that was prepared before and nothing was added to",
            fix="choose another --output",
        )


def _listed(
    config: PrepareConfig, work: WorkFolder, documents: Sequence[Document] | None
) -> tuple[Iterable[Document], list[Part], Funnel]:
    """Documents that are at hand, the parts to read, and a funnel that holds what was passed over already."""
    funnel = Funnel()
    funnel.step("file passed over")
    if documents is not None:
        return documents, [], funnel
    given: list[Document] = []
    parts: list[Part] = []
    for source in config.sources:
        name, _, packages = source.partition(":")
        if name == ORIGIN and not Path(source).exists():
            given.extend(embedded_documents(embedded_entries(_packages(packages))))
            continue
        path = str(spool_stdin(cast(BufferedIOBase, sys.stdin.buffer), work.given)) if source == _STDIN else source
        for found in list_parts(path, config.reading, origin=source):
            if isinstance(found, PassedOver):
                if not config.skip_unreadable and found.reason not in HARMLESS:
                    raise found.error(f"{source}/{found.name}")
                funnel.pass_over(found.name, found.reason, source)
            else:
                parts.append(found)
    return given, parts, funnel


def _packages(names: str) -> tuple[str, ...]:
    chosen = tuple(names.split(",")) if names else PACKAGES
    unknown = [name for name in chosen if name not in PACKAGES]
    if unknown:
        raise DataError(
            "the embedded corpus has no such part",
            received=", ".join(unknown),
            expected=f"one or more of {', '.join(PACKAGES)}",
            fix=f"use {ORIGIN}, or {ORIGIN}:python",
        )
    return chosen


def _nothing(config: PrepareConfig, funnel: Funnel) -> DataError:
    passed = ", ".join(f"{rule}: {count:,}" for rule, count in funnel.removed.items() if count)
    return DataError(
        "nothing is left of the sources",
        received=f"{', '.join(config.sources)}; {funnel.documents_in:,} documents read, removed by rule: {passed}",
        fix="look at what the rules remove, or point at text",
    )


# Over the whole corpus -------------------------------------------------------------------------------------------


def _gathered(
    config: PrepareConfig, work: WorkFolder, units: int, funnel: Funnel
) -> tuple[Corpus, dict[str, dict[str, Any]]]:
    """The corpus as it was read, and its sources; the funnels of the units go into ``funnel``."""
    corpus = Corpus(work.folder, units)
    sources: dict[str, dict[str, Any]] = {}
    for unit in corpus.units:
        report = spool.read_json(unit.file("read.json"))
        funnel.add(Funnel.from_json(report["funnel"]))
        for name, row in report["sources"].items():
            whole = sources.setdefault(name, {"documents": 0, "bytes": 0, "licences": Counter(), "sha256": []})
            whole["documents"] += row["documents"]
            whole["bytes"] += row["bytes"]
            whole["licences"].update(row["licences"])
            whole["sha256"].append(row["sha256"])
    if config.licences:
        found = sum((row["licences"] for row in sources.values()), Counter())
        check_licences(found, config.licences)
    return corpus, sources


def _decided(config: PrepareConfig, corpus: Corpus, funnel: Funnel, pool: Pool, work: WorkFolder) -> str:
    """Marks copies and what is held out; returns by what it was split."""
    duplicates = config.duplicates
    corpus.remove_duplicates(duplicates, funnel)
    if duplicates.repeated_paragraphs:
        corpus.mark_paragraphs(duplicates.paragraphs)
        corpus.save_fates()
        requests = [{"task": "cut", "work": str(work.folder), "unit": unit.number} for unit in corpus.units]
        for answer in pool.map(requests):
            funnel.add(Funnel.from_json(answer["funnel"]))
    if duplicates.passage_characters is not None:
        corpus.cut_passages(duplicates.passage_characters, funnel)
    by = corpus.hold_out(config.validation_fraction, config.split)
    # The tail of a document goes on where its head stops: what it repeats of itself is no leak but its style.
    if by != "tail":
        corpus.remove_leaks(config.leak_threshold, funnel)
    corpus.save_fates()
    return by


def _vocabulary(config: PrepareConfig, corpus: Corpus, by: str, work: WorkFolder) -> tokenizers.Tokenizer:
    """The vocabulary to encode with; that of an earlier process, where it got so far."""
    folder = work.folder / "tokenizer"
    if folder.exists():
        return tokenizers.load(folder)
    if config.tokenizer is not None:
        tokenizer = tokenizers.load(config.tokenizer)
    else:
        texts = corpus.texts(config.validation_fraction)
        tokenizer = tokenizers.train(texts, kind=config.kind, vocabulary_size=config.vocabulary_size)
    with staged_folder(folder) as staging:
        tokenizer.save(staging)
    return tokenizer
