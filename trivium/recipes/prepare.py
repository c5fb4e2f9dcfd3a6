"""From raw text to token shards: read, clean, judge, deduplicate, hold out, learn a vocabulary, encode.

    prepared = prepare(PrepareConfig(sources=("my_texts",), output=Path("data/mine")))

The output folder appears whole or not at all, and holds

    manifest.json           counts, settings, sources with their licences and hashes, what there is of each language and
                            label, what was forgotten, and the fingerprint of the data
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
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from trivium import config as configuration
from trivium import tokenizers
from trivium.data import mixtures, sources, spool
from trivium.data.decide import Corpus
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.licences import UNKNOWN, check_licences
from trivium.data.pool import Pool, make_pool
from trivium.data.prepared import MANIFEST, Prepared, forgotten_in, open_prepared
from trivium.data.readers import Part, formats
from trivium.data.splits import REMOVED
from trivium.data.staging import staged_folder
from trivium.data.tasks import Settings
from trivium.data.work_folder import UNIT_BYTES, WorkFolder, undone
from trivium.errors import DataError, Interrupted, StorageError, UserError
from trivium.recipes.prepare_config import PrepareConfig, WorkConfig, checked, files_used
from trivium.recipes.prepared_folder import fill
from trivium.runtime.atomic import folder_to_fill, settle
from trivium.runtime.progress import Bar, bar
from trivium.tokenizers.special import for_understanding

# What is read by our own few lines: no library stands between the file and us, so a small one needs no worker.
_PLAIN = frozenset((*formats.text.PROSE_SUFFIXES, *formats.text.CODE_SUFFIXES, *formats.jsonl.SUFFIXES))

__all__ = ["PrepareConfig", "WorkConfig", "prepare", "summary"]


def prepare(config: PrepareConfig, *, documents: Sequence[Document] | None = None, silent: bool = False) -> Prepared:
    """Carry out ``config``; the same input gives the same bytes.

    ``documents`` are those of ``config.sources`` where a caller has read them already.

    Raises:
        ConfigError, DataError, TokenizerError, StorageError: before anything is written at ``config.output``.
        Interrupted: by Ctrl-C or SIGTERM; what was done is kept.
    """
    config = checked(config)
    work = WorkFolder(folder_to_fill(config.output))
    try:
        with _stopping(config.output):
            return _prepared(config, work, documents, silent=silent)
    except OSError as error:
        work.remove()
        raise StorageError(
            "the folder that the work is done in cannot be used",
            received=f"{error.filename or work.folder}: {error.strerror or error}",
            expected="a place with enough space and write permission",
            fix="free some space or choose another --output",
        ) from error
    except UserError:
        work.remove()
        raise


@contextmanager
def _stopping(output: Path) -> Iterator[None]:
    """A signal ends the work at once: killed at any instant it can go on, and here it says how."""
    caught = signal.SIGINT

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal caught
        caught = signal.Signals(number)
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()  # Python allows handlers nowhere else
    before = signal.signal(signal.SIGTERM, stop) if here else None
    try:
        yield
    except KeyboardInterrupt:
        message = f"stopped: the same command goes on where this one was, and writes {output}"
        raise Interrupted(message, signal_number=caught) from None
    finally:
        if here:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def summary(prepared: Prepared) -> dict[str, Any]:
    """What ``trivium prepare --json`` prints."""
    keys = ("documents_in", "documents_out", "bytes_in", "bytes_out", "removed", "tokens")
    return {**{key: prepared.manifest[key] for key in keys}, "manifest": str(prepared.folder / MANIFEST)}


def _prepared(
    config: PrepareConfig, work: WorkFolder, documents: Sequence[Document] | None, *, silent: bool
) -> Prepared:
    funnel = Funnel()
    funnel.step("file passed over")
    given: Sequence[Document] = documents or ()
    parts: list[Part] = []
    if documents is None:
        skip = config.skip_unreadable
        given, parts = sources.listed(config.sources, config.reading, work.given, funnel, skip_unreadable=skip)
    reading, told = _begun(config, work, parts, given)
    if not reading:
        raise _nothing(config, funnel)
    numbers = range(len(reading))
    cutting = [work.request("cut", n) for n in numbers] if config.duplicates.repeated_paragraphs else []
    encoding = [work.request("encode", n) for n in numbers]
    left = [undone(reading, "read.json"), undone(cutting, "cut.json"), undone(encoding, "encoded.json")]
    steps = len(reading) + len(cutting) + len(encoding)
    pool = _pool(config, parts, len(reading))
    with bar("preparing", steps + 3, unit="steps", silent=silent) as progress, pool:
        progress.start_from(steps - sum(map(len, left)))
        _carry_out(pool, left[0], progress, "read and cleaned")
        corpus, facts = _gathered(config, work, len(reading), funnel)
        if not len(corpus):
            raise _nothing(config, funnel)
        corpus.remove_duplicates(config.duplicates, funnel)
        if cutting:
            corpus.mark_paragraphs(config.duplicates.paragraphs)
            _carry_out(pool, left[1], progress, "repeated paragraphs cut")
            corpus.take_cut(funnel)
        by = _decided(config, corpus, funnel)
        progress.advance(1, f"{int((corpus.fates != REMOVED).sum()):,} documents, split by {by}")
        tokenizer = _vocabulary(config, corpus, work)
        progress.advance(1, f"vocabulary of {tokenizer.vocabulary_size:,}")
        _carry_out(pool, [{**request, "state": corpus.state} for request in left[2]], progress, "encoded")
        with staged_folder(config.output) as folder:
            fill(
                folder,
                corpus,
                tokenizer,
                funnel,
                sources=facts,
                split_by=by,
                mixture=config.mixture if config.mix else None,
                kind=config.kind if config.tokenizer is None else "given",
                told=told,
            )
        progress.advance(1, f"written to {config.output}")
    work.remove()
    return open_prepared(config.output, verify=False)


def _begun(
    config: PrepareConfig, work: WorkFolder, parts: Sequence[Part], given: Sequence[Document]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The requests to read; and all that the data depends on beside its sources, for the manifest."""
    settle(folder_to_fill(config.output))  # killed between two renames, the earlier data has to be put back first
    forgotten = forgotten_in(config.output) if config.leave_out_forgotten else []
    wanted = {key: value for key, value in configuration.to_dict(config).items() if key not in ("output", "work")}
    told = {"settings": wanted, "files": files_used(config), **({"forgotten": forgotten} if forgotten else {})}
    settings = configuration.to_dict(_settings(config, forgotten))
    return work.begin(settings, told, parts, given, strict=not config.skip_unreadable), told


def _settings(config: PrepareConfig, forgotten: Sequence[dict[str, Any]]) -> Settings:
    """What the tasks are told of the configuration."""
    hashes = {digest for entry in forgotten for digest in (*entry["id_sha256"], entry["text_sha256"])}
    return Settings(
        reading=config.reading,
        text=config.text,
        duplicates=config.duplicates,
        join_groups=config.join_groups,
        held_out_tail=config.validation_fraction,
        forgotten=tuple(sorted(hashes)),
    )


def _pool(config: PrepareConfig, parts: Sequence[Part], units: int) -> Pool:
    """Who carries out the tasks."""
    small = sum(part.num_bytes for part in parts) < UNIT_BYTES and all(
        formats.suffix(part.name) in _PLAIN for part in parts
    )
    return make_pool(
        config.work.engine,
        min(config.work.processes or min(os.cpu_count() or 1, 16), units),
        memory_gib=config.work.memory_gib,
        seconds_a_file=config.work.seconds_a_file,
        harmless=small and config.work.processes is None,
    )


def _carry_out(pool: Pool, requests: Sequence[dict[str, Any]], progress: Bar, note: str) -> None:
    for _ in pool.map(requests):
        progress.advance(1, note)


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
    facts: dict[str, dict[str, Any]] = {}
    for unit in corpus.units:
        report = spool.read_json(unit.file("read.json"))
        funnel.add(Funnel.from_json(report["funnel"]))
        for name, row in report["sources"].items():
            whole = facts.setdefault(name, {"documents": 0, "bytes": 0, "licences": Counter(), "sha256": []})
            whole["documents"] += row["documents"]
            whole["bytes"] += row["bytes"]
            whole["licences"].update(row["licences"])
            whole["sha256"].append(row["sha256"])
    if config.licences:
        found = sum((row["licences"] for row in facts.values()), Counter())
        check_licences(found, config.licences)
    return corpus, facts


def _decided(config: PrepareConfig, corpus: Corpus, funnel: Funnel) -> str:
    """Cuts passages and marks what is held out; returns by what it was split."""
    if config.duplicates.passage_characters is not None:
        corpus.cut_passages(config.duplicates.passage_characters, funnel)
    by = corpus.hold_out(config.validation_fraction, config.split)
    # The tail of a document goes on where its head stops: what it repeats of itself is no leak but its style.
    if by != "tail":
        corpus.remove_leaks(config.leak_threshold, funnel)
    corpus.save_fates()
    if config.mix:
        _check_mixture(config, corpus)
    return by


def _check_mixture(config: PrepareConfig, corpus: Corpus) -> None:
    """Refuse weights of what is not there before the long part of the work: the true sizes, in tokens, come last."""
    by = config.mixture.by
    sizes = corpus.trained_bytes(by)
    if by != "source" and set(sizes) == {UNKNOWN}:
        raise DataError(
            f"no document states its {by}, so there is nothing to weigh by",
            fix="set text.identify_language" if by == "language" else f"name the field with reading.{by}_field",
        )
    mixtures.plan(sizes, replace(config.mixture, total_tokens=None))


def _vocabulary(config: PrepareConfig, corpus: Corpus, work: WorkFolder) -> tokenizers.Tokenizer:
    """The vocabulary to encode with; that of an earlier process, where it got so far."""
    folder = work.folder / "tokenizer"
    if folder.exists():
        return tokenizers.load(folder)
    if config.tokenizer is not None:
        tokenizer = tokenizers.load(config.tokenizer)
    else:
        # Merges can be learnt from a part of the text; which characters and words there are cannot.
        part = None if config.kind in ("character", "word") else config.vocabulary_megabytes * 1_000_000
        texts = corpus.texts(config.validation_fraction, part)
        special = for_understanding(config.kind) if config.masks else None
        tokenizer = tokenizers.train(texts, kind=config.kind, vocabulary_size=config.vocabulary_size, special=special)
    with staged_folder(folder) as staging:
        tokenizer.save(staging)
    return tokenizer
