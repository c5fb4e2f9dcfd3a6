"""What `trivium prepare` is asked for, and what of it is refused before anything is read."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from trivium import tokenizers
from trivium.data import mixtures
from trivium.data.embedded import ORIGIN
from trivium.data.licences import canonical
from trivium.data.prepared import foreign_files
from trivium.data.provenance import content_sha256, text_sha256
from trivium.data.quality.language import check_languages
from trivium.data.readers import ReadOptions
from trivium.data.refine import TextConfig
from trivium.data.splits import SplitBy
from trivium.data.tasks import DuplicatesConfig
from trivium.errors import ConfigError, StorageError
from trivium.runtime.atomic import folder_to_fill

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
    machine, "code" its Python sources, "embedded:python" and "code:python" a part of them."""
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
    split: SplitBy = "auto"
    """Hold out whole modules or files, with all that nearly repeats them (cluster), or the end of every document; auto:
    by group or cluster where there are enough."""
    leak_threshold: float = 0.5
    """Remove a validation document when this share of its words lies in runs of eight that training has; 1.1: never."""
    mix: bool = False
    """Take of each source, language, label or group as much as `mixture` says, instead of everything once; in all as
    much as there is, unless it says otherwise."""
    mixture: mixtures.Mixture = field(default_factory=mixtures.Mixture)
    """With `mix`: by what, weights, temperature, most passes, and how much in all."""
    leave_out_forgotten: bool = True
    """Keep out what --forget has taken out of the data that stood in the output folder before."""
    kind: Literal["byte_bpe", "bpe", "wordpiece", "unigram", "word", "character"] = "byte_bpe"
    """Vocabulary to train."""
    vocabulary_size: int | None = 4096
    """Tokens in the vocabulary; for a character vocabulary, its limit. None: every character."""
    masks: bool = False
    """Give the vocabulary [CLS], [SEP], [MASK] and the sentinels <extra_id_0> to <extra_id_99>: for models that are
    trained by masking, permuting or leaving out spans, and tuned on texts and pairs of texts."""
    vocabulary_megabytes: int = 16
    """Text that a vocabulary of pieces is learnt from, drawn evenly from all of it: time and memory grow with it."""
    tokenizer: Path | None = None
    """Folder of a vocabulary to use as it is, instead of training one."""
    join_groups: bool = False
    """Write neighbouring documents of one module or file as one, in their order: more to look back on."""
    work: WorkConfig = field(default_factory=WorkConfig)
    """Who does the work."""


def checked(config: PrepareConfig) -> PrepareConfig:
    """The configuration as it is carried out, or a refusal before anything is read.

    Its licence is in canonical spelling, and a mixture says how large it is to be.
    """
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
    if config.masks and (config.kind == "character" or config.tokenizer is not None):
        raise ConfigError(
            "masks are for a vocabulary of pieces or words that is trained here",
            received=f"tokenizer {config.tokenizer}" if config.tokenizer is not None else "kind character",
            fix="leave masks out, or choose the kind byte_bpe",
        )
    if config.vocabulary_megabytes < 1:
        raise ConfigError(
            "a vocabulary is learnt from text",
            received=f"vocabulary_megabytes {config.vocabulary_megabytes}",
            expected="1 or more",
        )
    if config.text.languages:
        check_languages(config.text.languages)
    foreign = foreign_files(folder_to_fill(config.output))
    if foreign:
        more = " ..." if len(foreign) > _SHOWN_FILES else ""
        raise StorageError(
            "the output folder holds something else than prepared data, and preparing would delete it",
            received=f"{config.output}: {', '.join(foreign[:_SHOWN_FILES])}{more}",
            expected="a new or empty folder, or one that was prepared before and nothing was added to",
            fix="choose another --output",
        )
    if config.mix:
        config = replace(config, mixture=replace(config.mixture, total_passes=config.mixture.passes_over_all))
    if config.reading.licence is None:
        return config
    licence = canonical(config.reading.licence)
    if licence is None:
        raise ConfigError(
            "the licence of sources that state none is no SPDX expression",
            received=config.reading.licence,
            expected="identifiers of https://spdx.org/licenses, such as MIT or CC-BY-4.0",
            fix="correct reading.licence, or leave it out",
        )
    return replace(config, reading=replace(config.reading, licence=licence))


def files_used(config: PrepareConfig) -> dict[str, str]:
    """SHA-256 of every file and folder beside the sources that the data depends on, as they are named."""
    text = config.text
    named = [*text.quality.blocklists, text.perplexity_model, text.harm_model]
    found = {str(path): content_sha256(Path(path)) for path in named if path is not None}
    if config.tokenizer is not None:  # the folder may be that of a model, and only its vocabulary counts
        found[str(config.tokenizer)] = text_sha256(tokenizers.load(config.tokenizer).files()["tokenizer.json"])
    return found
