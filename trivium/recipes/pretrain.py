"""Pre-training: a model that reads left to right, from nothing, on prepared text or on text to be prepared.

run = pretrain(PretrainConfig(data=Path("prepared"), steps=1000))
model = trivium.load(run.folder)
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

from torch import nn

from trivium.data.batches import CausalBatch
from trivium.data.evaluation import evaluation_batches
from trivium.data.prepared import MANIFEST, Prepared, open_prepared
from trivium.data.provenance import data_facts
from trivium.data.sampler import BatchSource, PackedSource, StreamSource, WindowSource
from trivium.errors import ConfigError, Unsupported
from trivium.models import ARCHITECTURES, Architecture, architecture
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.training import (
    Job,
    TrainingConfig,
    begin,
    check_request,
    evenly,
    own_device,
    require_at_least,
    require_free,
    run_folder,
    train,
)
from trivium.runtime import machine, processes
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

# A gated feed-forward layer has three matrices: 8/3 of the width keeps it at the size of a plain one of four widths
# (Shazeer 2020, section 2). In whole multiples, for the sake of matrix products.
_GATED = ("llama",)
_INNER_MULTIPLE = 32
_WARMUP_STEPS = 20
_KINDS = ("decoder", "recurrent")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """The vocabulary to train, where `data` is not prepared yet."""

    kind: Literal["byte_bpe", "character"] = "byte_bpe"
    """Byte-level BPE spells any text; a character vocabulary knows those of the training text."""
    size: int | None = 4096
    """Tokens in the vocabulary; for characters its limit, null for all of them."""
    validation_fraction: float = 0.1
    """Share of the text to hold out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture and its size."""

    architecture: str = "llama"
    """One of those that read left to right; `trivium models` lists them: of kind decoder or recurrent."""
    width: int = 128
    """Width of the residual stream, or of the recurrent layers."""
    layers: int = 4
    """Number of blocks."""
    heads: int | None = None
    """Attention heads; null for as many as make them 32 wide."""
    inner_width: int | None = None
    """Width of the feed-forward layers; null for what is usual."""
    embedding_width: int | None = None
    """Width of the embedding of a recurrent model; null for that of its layers."""
    dropout: float = 0.0
    """Share of activations that is dropped while training; 0.1 helps where a small text is read many times."""
    tied: bool = True
    """The output weights are the input embedding."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What one step reads."""

    rows: int = 8
    """Rows of a batch, of all processes together."""
    context_tokens: int = 256
    """Tokens of a row: the longest text that the model learns from at once."""
    reading: Literal["auto", "packed", "windows", "stream"] = "auto"
    """packed: whole documents side by side, unseen by each other; windows: of one long text, from random places;
    stream: row after row in order, the state carried on. auto: stream for recurrent models, windows for a book."""

    def __post_init__(self) -> None:
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Trains a model from nothing on prepared text, or on text that is prepared first."""

    data: pathlib.Path
    """A folder that `trivium prepare` wrote, or a text file or folder of text."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "pretrain"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: VocabularyConfig = dataclasses.field(default_factory=VocabularyConfig)
    """The vocabulary, for text that is not prepared yet."""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """The model to train."""
    batch: BatchConfig = dataclasses.field(default_factory=BatchConfig)
    """What one step reads."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(
            kind="muon", learning_rate=0.004, muon_learning_rate=0.02, weight_decay=0.1
        )
    )
    """Muon for the matrices in the blocks, AdamW for the rest."""
    schedule: ScheduleConfig = dataclasses.field(
        default_factory=lambda: ScheduleConfig(kind="wsd", warmup_steps=_WARMUP_STEPS, decay_fraction=0.5)
    )
    """How the learning rates go with the step; the warm-up of 20 steps is an eighth of a run that is not longer."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or 1000."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    seed: int = 0
    """Of the weights, the order of the text and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        check_model(self.model)  # here, since flags may still correct what a recipe says of the model


def pretrain(config: PretrainConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for data, sizes or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        prepared = _prepared(config, here)
        model = build_model(config.model, prepared.tokenizer.vocabulary_size, config.batch.context_tokens).to(device)
        return train(
            config, pretraining_job(config, prepared, model), title="pre-training", usual_warmup_steps=_WARMUP_STEPS
        )


def check_model(config: ModelConfig) -> Architecture:
    """The row of the architecture. Raises `ConfigError` or `Unsupported` for what it cannot be, whatever the text."""
    entry = architecture(config.architecture)
    if entry.kind not in _KINDS:
        raise Unsupported(
            "pre-training needs an architecture that reads left to right",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join(each.name for each in ARCHITECTURES if each.kind in _KINDS),
        )
    if entry.kind == "recurrent" and (config.heads is not None or config.inner_width is not None):
        raise ConfigError(
            f"{entry.name} has no attention heads and no feed-forward layers",
            received=f"heads {config.heads}, inner_width {config.inner_width}",
            fix="leave both out",
        )
    if entry.kind == "decoder" and config.embedding_width is not None:
        raise ConfigError(
            f"the embedding of {entry.name} is as wide as its blocks",
            received=f"embedding_width {config.embedding_width}",
            fix="leave it out",
        )
    require_at_least(
        1,
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        inner_width=config.inner_width,
        embedding_width=config.embedding_width,
    )
    if not 0 <= config.dropout < 1:  # NaN fails every comparison
        raise ConfigError("dropout must be at least 0 and below 1", received=config.dropout)
    heads = _heads(config)
    if entry.kind == "decoder" and config.width % heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {config.width}, heads {heads}",
            fix=f"set width to a multiple of {heads}",
        )
    _require_memory(config, entry)
    return entry


def _require_memory(config: ModelConfig, entry: Architecture) -> None:
    """Refuses weights of blocks that alone are more than the machine's memory, where the model is built first."""
    inner = 0 if entry.kind == "recurrent" else config.inner_width or _usual_inner_width(entry.name, config.width)
    asked = 4 * config.layers * config.width * (4 * config.width + 2 * inner) / 2**30
    present = machine.total_memory_gib()
    if present is not None and asked > present:
        raise ConfigError(
            "the model does not fit into memory",
            received=f"width {config.width}, {config.layers} layers: more than {asked:,.1f} GiB of weights",
            expected=f"less than the {present:,.1f} GiB that there are",
            fix="lower width or layers",
        )


def build_model(config: ModelConfig, vocabulary_size: int, context_tokens: int) -> nn.Module:
    """A new model with random weights. Raises `ConfigError` or `Unsupported` for what the architecture cannot be."""
    entry = check_model(config)
    settings: dict[str, Any] = {
        "vocabulary_size": vocabulary_size,
        "width": config.width,
        "layers": config.layers,
        "dropout": config.dropout,
        "tied": config.tied,
    }
    if entry.kind == "decoder":
        settings |= {"context_tokens": context_tokens, "heads": _heads(config)}
        settings["inner_width"] = config.inner_width or _usual_inner_width(entry.name, config.width)
    else:
        settings["embedding_width"] = config.embedding_width
    require_at_least(1, vocabulary_size=vocabulary_size, context_tokens=context_tokens)
    return entry.model_class()(entry.config_class()(**settings))


def _heads(config: ModelConfig) -> int:
    return config.heads or max(1, config.width // 32)


def _usual_inner_width(name: str, width: int) -> int:
    if name in _GATED:
        return -(-8 * width // 3 // _INNER_MULTIPLE) * _INNER_MULTIPLE
    return 4 * width


def pretraining_job(config: PretrainConfig, prepared: Prepared, model: nn.Module) -> Job:
    """The model with its batches, read as the configuration says."""
    here = processes.place()
    reading = _reading(config, prepared)
    validation = evaluation_batches(
        prepared.validation,
        context_tokens=config.batch.context_tokens,
        rows=config.batch.rows,
        rank=here.rank,
        world=here.world,
    )
    return Job(
        model=model,
        tokenizer=prepared.tokenizer,
        source=_source(config, prepared, reading, here),
        validation=evenly(list(validation), config.training.evaluation_tokens),
        carry=reading == "stream",
        metadata={
            "objective": "causal",
            **data_facts(prepared),
            "architecture": config.model.architecture,
        },
    )


def _prepared(config: PretrainConfig, here: processes.Place) -> Prepared:
    """The text as shards: opened where it is prepared, else prepared into the run's folder, once."""
    if (config.data / MANIFEST).is_file():
        return open_prepared(config.data)
    folder = run_folder(config) / "data"
    if here.is_first and not (config.resume and (folder / MANIFEST).is_file()):
        prepare(
            PrepareConfig(
                sources=(str(config.data),),
                output=folder,
                kind=config.vocabulary.kind,
                vocabulary_size=config.vocabulary.size,
                validation_fraction=config.vocabulary.validation_fraction,
            )
        )
    processes.barrier()
    return open_prepared(folder)


def _reading(config: PretrainConfig, prepared: Prepared) -> str:
    recurrent = architecture(config.model.architecture).kind == "recurrent"
    asked = config.batch.reading
    if asked == "auto":
        if recurrent:
            return "stream"
        # Held out by the tail: a book or a few, of which one end was trained on.
        return "windows" if prepared.manifest["split"] == "tail" else "packed"
    if asked == "stream" and not recurrent:
        raise ConfigError(
            f"{config.model.architecture} carries no state from one batch to the next",
            received="reading: stream",
            expected="packed or windows",
            fix="leave reading out",
        )
    return asked


def _source(
    config: PretrainConfig, prepared: Prepared, reading: str, here: processes.Place
) -> Callable[[], BatchSource[CausalBatch]]:
    kind = {"packed": PackedSource, "windows": WindowSource, "stream": StreamSource}[reading]

    def source() -> BatchSource[CausalBatch]:
        return kind(
            prepared.train,
            context_tokens=config.batch.context_tokens,
            rows=config.batch.rows,
            seed=config.seed,
            rank=here.rank,
            world=here.world,
        )

    return source
