"""From raw text to token shards: read, clean, deduplicate, hold out, learn a vocabulary, encode.

    prepared = prepare(PrepareConfig(sources=("my_texts",), output=Path("data/mine")))

The output folder appears whole or not at all, and holds

    manifest.json           counts, settings, sources with their licences, and the fingerprint of the data
    funnel.json             what each step removed, with examples to look at
    tokenizer.json          the vocabulary, with tokenizer_config.json
    train/  validation/     token shards
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trivium import tokenizers
from trivium.data.cleaning import clean
from trivium.data.dedup import remove_duplicates
from trivium.data.documents import Document, Skipped, join_groups, read_documents
from trivium.data.embedded import ORIGIN, PACKAGES, embedded_documents, embedded_entries
from trivium.data.prepared import FORMAT, FUNNEL, MANIFEST, Prepared, fingerprint, foreign_files, open_prepared
from trivium.data.shards import ShardWriter, TokenStore
from trivium.data.splits import Split, remove_leaks, split
from trivium.data.staging import staged_folder
from trivium.errors import ConfigError, DataError, StorageError
from trivium.runtime.atomic import folder_to_fill
from trivium.runtime.progress import bar

_EXAMPLES = 5
_EXAMPLE_CHARACTERS = 240
_ENCODED_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """What to prepare, and how."""

    sources: tuple[str, ...] = (ORIGIN,)
    """Files and folders; "embedded" is the documentation on this machine, "embedded:python" a part of it."""
    output: Path = Path("data")
    """Folder to write; data prepared there before is replaced."""
    kind: Literal["byte_bpe", "character"] = "byte_bpe"
    """Vocabulary to train."""
    vocabulary_size: int | None = 4096
    """Tokens in the vocabulary; for a character vocabulary, its limit. None: every character."""
    tokenizer: Path | None = None
    """Folder of a vocabulary to use as it is, instead of training one."""
    validation_fraction: float = 0.05
    """Share of the text to hold out."""
    split: Literal["auto", "group", "tail"] = "auto"
    """Hold out whole modules or files, or the end of every document; auto: by group where there are enough."""
    clean: bool = True
    """Normalise Unicode, line ends and white space."""
    deduplicate: bool = True
    """Remove documents that repeat an earlier one."""
    leak_threshold: float = 0.5
    """Remove a validation document when this share of its words lies in runs of eight that training has; 1.1: never."""
    join_groups: bool = False
    """Write all that is kept of a module or file as one document, in its order: more to look back on."""
    encoding: str = "utf-8"
    """Encoding of the files."""
    skip_unreadable: bool = False
    """Pass over files of a folder that cannot be read, instead of stopping."""


def prepare(config: PrepareConfig, *, documents: Sequence[Document] | None = None, silent: bool = False) -> Prepared:
    """Carry out ``config``; the same input gives the same bytes.

    ``documents`` are those of ``config.sources`` where a caller has read them already.

    Raises:
        ConfigError, DataError, TokenizerError, StorageError: before anything is written at ``config.output``.
    """
    _check(config)
    with bar("preparing", 6, unit="steps", silent=silent) as progress:
        documents, skipped = _read(config) if documents is None else (documents, Skipped())
        funnel = _Funnel(documents)
        funnel.skip(skipped)
        progress.advance(1, f"{len(documents):,} documents read")
        documents = _cleaned(documents, funnel) if config.clean else documents
        progress.advance(1, "cleaned")
        if config.deduplicate:
            documents, duplicates = remove_duplicates(documents)
            funnel.remove("duplicate", [(d.document, f"repeats {d.of}") for d in duplicates])
        progress.advance(1, f"{len(documents):,} documents different")
        sides = _held_out(documents, config, funnel)
        progress.advance(1, f"{len(sides.validation):,} documents held out, by {sides.by}")
        tokenizer = _vocabulary(config, sides)
        progress.advance(1, f"vocabulary of {tokenizer.vocabulary_size:,}")
        with staged_folder(config.output) as folder:
            _write(folder, config, sides, tokenizer, funnel)
        progress.advance(1, f"written to {config.output}")
    return open_prepared(config.output, verify=False)


def summary(prepared: Prepared) -> dict[str, Any]:
    """What ``trivium prepare --json`` prints."""
    keys = ("documents_in", "documents_out", "bytes_in", "bytes_out", "removed", "tokens")
    return {**{key: prepared.manifest[key] for key in keys}, "manifest": str(prepared.folder / MANIFEST)}


class _Funnel:
    """Counts what comes in, what each rule removes and what is left, and keeps a few examples of each."""

    def __init__(self, documents: Sequence[Document]):
        self.documents_in = len(documents)
        self.bytes_in = sum(document.num_bytes for document in documents)
        self.removed: dict[str, int] = {}
        self.steps: list[dict[str, Any]] = []

    def skip(self, skipped: Skipped) -> None:
        """Files that never became documents."""
        examples = [{"id": path, "reason": reason} for path, reason in skipped.files[:_EXAMPLES]]
        self._step("file passed over", len(skipped.files), 0, examples)

    def remove(self, rule: str, documents: Sequence[tuple[Document, str]]) -> None:
        """Documents removed by ``rule``, each with its reason."""
        examples = [
            {"id": document.id, "reason": reason, "text": document.text[:_EXAMPLE_CHARACTERS]}
            for document, reason in documents[:_EXAMPLES]
        ]
        self._step(rule, len(documents), sum(document.num_bytes for document, _ in documents), examples)

    def change(self, rule: str, pairs: Sequence[tuple[Document, Document]]) -> None:
        """Documents altered but kept: (before, after)."""
        shorter = sum(before.num_bytes - after.num_bytes for before, after in pairs)
        examples = [{"id": after.id, "text": after.text[:_EXAMPLE_CHARACTERS]} for _, after in pairs[:_EXAMPLES]]
        self.steps.append({"rule": rule, "documents_changed": len(pairs), "bytes": shorter, "examples": examples})

    def _step(self, rule: str, count: int, size: int, examples: list[dict[str, str]]) -> None:
        self.removed[rule] = count
        self.steps.append({"rule": rule, "documents_removed": count, "bytes": size, "examples": examples})


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
    if config.kind == "byte_bpe" and config.vocabulary_size is None and config.tokenizer is None:
        raise ConfigError(
            "byte-level BPE needs the size of its vocabulary", received="vocabulary_size None", fix="set it to 4096"
        )
    foreign = foreign_files(folder_to_fill(config.output))
    if foreign:
        raise StorageError(
            "the output folder holds something else than prepared data, and preparing would delete it",
            received=f"{config.output}: {', '.join(foreign[:_EXAMPLES])}{' ...' if len(foreign) > _EXAMPLES else ''}",
            expected="a new or empty folder, or one that was prepared before and nothing was added to",
            fix="choose another --output",
        )


def _read(config: PrepareConfig) -> tuple[list[Document], Skipped]:
    documents: list[Document] = []
    skipped = Skipped()
    for source in config.sources:
        name, _, packages = source.partition(":")
        if name == ORIGIN and not Path(source).exists():
            documents.extend(embedded_documents(embedded_entries(_packages(packages))))
            continue
        found, passed_over = read_documents([source], encoding=config.encoding, skip_unreadable=config.skip_unreadable)
        documents.extend(found)
        skipped.files.extend(passed_over.files)
    return documents, skipped


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


def _cleaned(documents: Sequence[Document], funnel: _Funnel) -> list[Document]:
    pairs = [(document, replace(document, text=clean(document.text))) for document in documents]
    funnel.change("cleaned", [(before, after) for before, after in pairs if before.text != after.text])
    funnel.remove("nothing left after cleaning", [(before, "") for before, after in pairs if not after.text])
    return [after for _, after in pairs if after.text]


def _held_out(documents: Sequence[Document], config: PrepareConfig, funnel: _Funnel) -> Split:
    sides = split(documents, config.validation_fraction, by=config.split)
    # The tail of a document goes on where its head stops: what it repeats of itself is no leak but its style.
    if sides.by == "tail":
        return sides
    cleaned, leaks = remove_leaks(sides, threshold=config.leak_threshold)
    funnel.remove("near-duplicate of training", [(d, f"{share:.0%} of its words") for d, share in leaks])
    if not cleaned.validation:
        raise DataError(
            "nothing is left to validate on: every held-out document nearly repeats one that is trained on",
            received=f"{len(leaks)} documents removed",
            fix="hold out more with validation_fraction, or raise leak_threshold",
        )
    return cleaned


def _vocabulary(config: PrepareConfig, sides: Split) -> tokenizers.Tokenizer:
    if config.tokenizer is not None:
        return tokenizers.load(config.tokenizer)
    texts = (document.text for document in sides.train)
    return tokenizers.train(texts, kind=config.kind, vocabulary_size=config.vocabulary_size)


def _write(folder: Path, config: PrepareConfig, sides: Split, tokenizer: tokenizers.Tokenizer, funnel: _Funnel) -> None:
    tokenizer.save(folder)
    headers = {
        side: _encode(folder / side, join_groups(documents) if config.join_groups else documents, tokenizer)
        for side, documents in (("train", sides.train), ("validation", sides.validation))
    }
    stores = [TokenStore.open(folder / side, verify=False) for side in headers]
    everything = [*sides.train, *sides.validation]
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    manifest = {
        "format": FORMAT,
        "fingerprint": fingerprint(tokenizer, *stores),
        "documents_in": funnel.documents_in,
        "documents_out": len(everything),
        "bytes_in": funnel.bytes_in,
        "bytes_out": sum(header["text_bytes"] for header in headers.values()),
        "removed": funnel.removed,
        "tokens": sum(header["tokens"] for header in headers.values()),
        "split": sides.by,
        "sides": {s: {key: h[key] for key in ("documents", "tokens", "text_bytes")} for s, h in headers.items()},
        "vocabulary_size": tokenizer.vocabulary_size,
        "licences": dict(sorted(Counter(document.licence or "unknown" for document in everything).items())),
        "kinds": dict(sorted(Counter(document.kind for document in everything).items())),
        "settings": {key: value for key, value in settings.items() if key != "output"},
    }
    (folder / FUNNEL).write_text(_json(funnel.steps), encoding="utf-8")
    (folder / MANIFEST).write_text(_json(manifest), encoding="utf-8")


def _encode(folder: Path, documents: Sequence[Document], tokenizer: tokenizers.Tokenizer) -> dict[str, Any]:
    """Shards of ``documents``, each between BOS and EOS where the vocabulary has them."""
    folder.mkdir()
    writer = ShardWriter(folder, vocabulary_size=tokenizer.vocabulary_size)
    before = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    after = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    for start in range(0, len(documents), _ENCODED_AT_ONCE):
        some = documents[start : start + _ENCODED_AT_ONCE]
        for document, ids in zip(some, tokenizer.encode_batch([d.text for d in some]), strict=True):
            writer.add([*before, *ids, *after], document.num_bytes)
    return writer.finish()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
