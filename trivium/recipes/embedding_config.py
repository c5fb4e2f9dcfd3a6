"""What `trivium train embedding` may be told."""

import dataclasses
import math
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

USUAL_OPTIMISER = OptimiserConfig(learning_rate=1e-3, beta2=0.999, weight_decay=0.01)
"""It stands for what `trivium.recipes.starting.usual_optimiser` says."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """Trains an encoder to give texts vectors that are near where the texts belong together."""

    data: pathlib.Path
    """A text file, one text a line; or a .jsonl, .json, .csv or .tsv file of texts or of pairs."""
    base: pathlib.Path
    """A saved encoder or run, whose body and vocabulary are taken."""
    fresh: bool = False
    """Take the shape and the vocabulary of the base only, and draw all weights anew: what the same training does
    without what the base has learnt."""
    text_field: str | None = None
    """Field or column of the text; null for the first there is of text, sentence, sentence1."""
    second_field: str | None = None
    """Field or column of a text that belongs to it; null where texts stand alone."""
    negative_field: str | None = None
    """Field or column of a text that seems to belong to it and does not: a contradiction."""
    scored: pathlib.Path | None = None
    """Pairs of texts with a number for how alike they are, to measure on: sentence1, sentence2 and score."""
    encoding: str = "utf-8"
    """How the files are encoded, where they do not say so themselves."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "embedding"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    pooling: Literal["mean", "first"] = "mean"
    """The vector of a text: the mean over its tokens, or what stands at the first."""
    temperature: float = 0.05
    """What similarities are divided by before the softmax."""
    dropout: float = 0.1
    """Share of activations that is dropped while training; of single texts it is all that tells two readings apart."""
    rows: int = 64
    """Texts or pairs of a batch, in which each is told from all others."""
    context_tokens: int = 64
    """Tokens that are read of a text; never more than the base holds."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: USUAL_OPTIMISER)
    """The optimiser; AdamW by default. What is shown here stands for the usual one of a Transformer: a rate of 5e-5 at
    a width of 768, more for narrower ones, up to 3e-4."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is a tenth of the run."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100)
    )
    """How a step is computed, and how often to look and save; in one micro-batch and one process."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float = 1.0
    """Passes over the texts, where neither steps nor minutes are given."""
    seed: int = 0
    """Of new weights, the order of the texts and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(2, rows=self.rows, context_tokens=self.context_tokens)
        if not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        if not 0 < self.temperature < math.inf:
            raise ConfigError("temperature must be a finite number above 0", received=self.temperature)
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)
        if self.second_field is None and self.dropout == 0:
            raise ConfigError("without dropout two readings of a text are one", fix="set dropout, or second_field")
        if self.negative_field is not None and self.second_field is None:
            raise ConfigError("a negative is told from what belongs to a text", fix="name second_field too")
        if self.training.micro_batches != 1:
            raise ConfigError(
                "texts are told from the others of their batch, which cannot be cut",
                received=f"training.micro_batches {self.training.micro_batches}",
                fix="give fewer rows",
            )
