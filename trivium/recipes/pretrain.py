"""Pre-training: a language model from nothing, on prepared text or on text to be prepared.

run = pretrain(PretrainConfig(data=Path("prepared"), steps=1000))
model = trivium.load(run.folder)
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal

from torch import nn

from trivium.checkpoints.model_folder import write_model
from trivium.data.batches import CausalBatch
from trivium.data.evaluation import evaluation_batches
from trivium.data.prepared import MANIFEST, Prepared, open_prepared
from trivium.data.provenance import data_facts
from trivium.data.resumable import BatchSource
from trivium.data.sampler import PackedSource, StreamSource, WindowSource
from trivium.data.varied_stream import VariedStreamSource
from trivium.errors import ConfigError
from trivium.models import architecture
from trivium.objectives.bilm import bilm
from trivium.objectives.causal import causal
from trivium.recipes.electra import write_pair
from trivium.recipes.language_model import ModelConfig, build_model, check_model, special_ids
from trivium.recipes.objectives import ObjectiveConfig, decided, restoring
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.restored_text import Corruption
from trivium.recipes.run_report import write_run_report
from trivium.recipes.training import (
    Job,
    TrainingConfig,
    begin,
    check_request,
    measured_on,
    own_device,
    require_at_least,
    require_free,
    run_folder,
    train,
)
from trivium.runtime import processes
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_WARMUP_STEPS = 20
_BOTH_WAYS = "bidirectional recurrent"


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
class BatchConfig:
    """What one step reads."""

    rows: int = 8
    """Rows of a batch, of all processes together."""
    context_tokens: int = 256
    """Tokens of a row: the longest text that the model learns from at once."""
    reading: Literal["auto", "packed", "windows", "stream", "varied"] = "auto"
    """Of models that predict the next token; others read windows. packed: whole documents side by side, unseen by each
    other; windows: of one long text, from random places; stream: row after row in order, the state carried on; varied:
    such rows of about context_tokens, each of another length, for awd_lstm (Merity et al. 2018). auto: stream for
    recurrent models, windows for a book."""

    def __post_init__(self) -> None:
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Trains a model from nothing on prepared text, or on text that is prepared first."""

    data: pathlib.Path
    """A folder that `trivium prepare` wrote, a text file or folder of text, or what is on this machine: "embedded", its
    documentation, or "code", its Python sources."""
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
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    """What is left out of a text and restored, or moved in it."""
    batch: BatchConfig = dataclasses.field(default_factory=BatchConfig)
    """What one step reads."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(
            kind="muon", learning_rate=0.004, muon_learning_rate=0.02, weight_decay=0.1
        )
    )
    """Muon for the matrices in the blocks, AdamW for the rest."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="wsd", decay_fraction=0.5))
    """How the learning rates go with the step; the warm-up is of 20 steps, or an eighth of a run that is not longer."""
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
        _check_reading(self.model.architecture, self.batch.reading, self.decided_objective)

    @property
    def decided_objective(self) -> Corruption | None:
        """What is restored, with nothing left open; None for the prediction of the next token."""
        return decided(self.objective, architecture(self.model.architecture))


def pretrain(config: PretrainConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for data, sizes or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        prepared = _prepared(config, here)
        tokenizer, context = prepared.tokenizer, config.batch.context_tokens
        ids = special_ids(config.model, tokenizer)
        model = build_model(config.model, tokenizer.vocabulary_size, context, ids=ids).to(device)
        job = pretraining_job(config, prepared, model)
        run = train(config, job, title="pre-training", usual_warmup_steps=_WARMUP_STEPS)
        continues = "encoder" not in architecture(config.model.architecture).kind
        write_run_report(run, device, validation=prepared.validation if continues else None)
        return run


def pretraining_job(config: PretrainConfig, prepared: Prepared, model: nn.Module) -> Job:
    """The model with its batches, read as the configuration says."""
    here = processes.place()
    entry = architecture(config.model.architecture)
    objective = config.decided_objective
    if objective is not None:
        return _restoring_job(config, prepared, model, objective)
    reading = _reading(config, prepared)
    validation = evaluation_batches(
        prepared.validation,
        context_tokens=config.batch.context_tokens,
        rows=config.batch.rows,
    )
    both_ways = entry.kind == _BOTH_WAYS
    return Job(
        model=model,
        tokenizer=prepared.tokenizer,
        source=_source(config, prepared, reading, here),
        validation=measured_on(list(validation), config.training),
        objective=bilm if both_ways else causal,
        carry=reading in ("stream", "varied"),
        full_rate_tokens=config.batch.context_tokens if reading == "varied" else None,
        metadata={
            "objective": "bilm" if both_ways else "causal",
            **data_facts(prepared),
            "architecture": config.model.architecture,
        },
    )


def _restoring_job(config: PretrainConfig, prepared: Prepared, model: Any, objective: Corruption) -> Job:
    """The model with batches of text from which something is missing."""
    here = processes.place()
    task = restoring(
        objective,
        prepared.tokenizer,
        train=prepared.train,
        context_tokens=config.batch.context_tokens,
        rows=config.batch.rows,
        seed=config.seed,
        start_id=getattr(model.config, "start_id", None),
    )
    return Job(
        model=model,
        tokenizer=prepared.tokenizer,
        source=lambda: task.source(prepared.train, here),
        validation=measured_on(task.validation(prepared.validation), config.training),
        objective=task.loss,
        write=write_pair if objective.kind == "replaced" else write_model,
        metadata={"objective": objective.kind, **data_facts(prepared), "architecture": config.model.architecture},
    )


def preparation(config: PretrainConfig, folder: pathlib.Path) -> PrepareConfig:
    """How text that is not prepared yet will be, into ``folder``."""
    objective = config.decided_objective
    return PrepareConfig(
        sources=(str(config.data),),
        output=folder,
        kind=config.vocabulary.kind,
        vocabulary_size=config.vocabulary.size,
        validation_fraction=config.vocabulary.validation_fraction,
        masks=objective is not None and objective.needs_masks,
    )


def _prepared(config: PretrainConfig, here: processes.Place) -> Prepared:
    """The text as shards: opened where it is prepared, else prepared into the run's folder, once."""
    if (config.data / MANIFEST).is_file():
        return open_prepared(config.data)
    folder = run_folder(config) / "data"
    if here.is_first and not (config.resume and (folder / MANIFEST).is_file()):
        prepare(preparation(config, folder))
    processes.barrier()
    return open_prepared(folder)


def _check_reading(name: str, asked: str, objective: Corruption | None) -> None:
    """Refuses to carry a state on where there is none, or only that of one of two directions, and to pack what is cut
    out of the text in windows."""
    kind = architecture(name).kind
    if objective is not None and asked not in ("auto", "windows"):
        raise ConfigError(
            f"texts for {objective.kind} are windows",
            received=f"reading: {asked}",
            expected="windows",
            fix="leave reading out",
        )
    if asked in ("stream", "varied") and kind != "recurrent":
        raise ConfigError(
            f"{name} carries no state from one batch to the next"
            + (": what it reads backwards begins at the end of a row" if kind == _BOTH_WAYS else ""),
            received=f"reading: {asked}",
            expected="packed or windows",
            fix="leave reading out",
        )


def _reading(config: PretrainConfig, prepared: Prepared) -> str:
    if config.batch.reading != "auto":
        return config.batch.reading
    if architecture(config.model.architecture).kind == "recurrent":
        return "stream"
    # Held out by the tail: a book or a few, of which one end was trained on.
    return "windows" if prepared.manifest["split"] == "tail" else "packed"


def _source(
    config: PretrainConfig, prepared: Prepared, reading: str, here: processes.Place
) -> Callable[[], BatchSource[CausalBatch]]:
    kinds = {"packed": PackedSource, "windows": WindowSource, "stream": StreamSource, "varied": VariedStreamSource}
    kind = kinds[reading]

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
