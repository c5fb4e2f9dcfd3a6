"""What `trivium train tagging` may be told."""

import dataclasses
import math
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.recipes.starting import check_start
from trivium.recipes.tagger import TaggerConfig, check_tagger
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

USUAL_OPTIMISER = OptimiserConfig(learning_rate=5e-3, beta2=0.99, weight_decay=0.01)
"""Of networks that are no Transformers; see `trivium.recipes.starting.usual_optimiser` for those."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TagVocabularyConfig:
    """The vocabulary, which is trained on the words of the training sentences."""

    kind: Literal["byte_bpe", "bpe", "wordpiece", "unigram", "word", "character"] = "byte_bpe"
    """Byte-level BPE spells any word; a vocabulary of whole words knows those that it has seen twice."""
    size: int | None = 4000
    """Tokens in the vocabulary; for words and characters its limit, null for all of them."""

    def __post_init__(self) -> None:
        require_at_least(1, size=self.size)
        if self.size is None and self.kind not in ("word", "character"):
            raise ConfigError(f"a vocabulary of kind {self.kind} needs a size", received=None, fix="set size to 4000")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggingConfig:
    """Trains a tagger on sentences whose words have tags."""

    data: pathlib.Path
    """A file in columns, as of the CoNLL tasks: a word first and its tag last, an empty line between sentences."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out a tenth of the sentences."""
    base: pathlib.Path | None = None
    """A saved model or run, whose body and vocabulary are taken; null to train from nothing."""
    fresh: bool = False
    """Take the shape and the vocabulary of the base only, and draw all weights anew: what the same training does
    without what the base has learnt."""
    encoding: str = "utf-8"
    """How the files are encoded, where they do not say so themselves."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "tagging"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: TagVocabularyConfig = dataclasses.field(default_factory=TagVocabularyConfig)
    """The vocabulary to train."""
    model: TaggerConfig = dataclasses.field(default_factory=TaggerConfig)
    """The network to train."""
    rows: int = 8
    """Sentences of a batch, of all processes together."""
    context_tokens: int = 512
    """Longest row, and never more than a base holds; a sentence of more pieces is cut between words into several."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: USUAL_OPTIMISER)
    """The optimiser; AdamW by default. What is shown here stands for the usual one of a Transformer where there is one:
    a rate of 5e-5 at a width of 768, more for narrower ones, up to 3e-4, and a decay of 0.01."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is 20 steps, and a tenth of the run for Transformers.
    """
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100, keep_best=0)
    )
    """How a step is computed, and how often to look and save; with keep_best 0 the last model is the run's."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float | None = None
    """Passes over the sentences, where neither steps nor minutes are given; null for 4 with a base, else 10."""
    seed: int = 0
    """Of the weights, the order of the sentences and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        check_start(
            self.base,
            self.fresh,
            given={"model": self.model, "vocabulary": self.vocabulary},
            usual={"model": TaggerConfig(), "vocabulary": TagVocabularyConfig()},
        )
        if self.base is None:
            check_tagger(self.model)
