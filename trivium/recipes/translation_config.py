"""What `trivium train translation` may be told."""

import dataclasses
import math
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.objectives.scheduled_sampling import Decay
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.recipes.translator import TranslatorConfig, check_translator
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

_MOST_BEAMS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedVocabularyConfig:
    """The vocabulary of both languages, learnt from the training pairs."""

    kind: Literal["byte_bpe", "bpe", "unigram", "word"] = "byte_bpe"
    """Byte-level BPE spells any text; the others know the characters, or words, of the training text."""
    size: int = 8000
    """Pieces, of both languages together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduledSamplingConfig:
    """How often the decoder is given its own word in place of the true one (Bengio et al. 2015, section 2.4)."""

    decay: Literal["none", "linear", "exponential", "inverse_sigmoid"] = "none"
    """How the probability of the true word falls with the step; none: true words always."""
    k: float | None = None
    """1 for linear, below 1 for exponential, from 1 on for inverse_sigmoid; null for 1, 0.999 and 1000."""
    slope: float = 0.0
    """What a step takes away (linear)."""
    floor: float = 0.0
    """What is always left (linear)."""

    def __post_init__(self) -> None:
        self.schedule()

    def schedule(self) -> Decay | None:
        """The probabilities, or None where true words are always given. Raises `ConfigError` for what is none."""
        if self.decay == "none":
            if (self.k, self.slope, self.floor) != (None, 0.0, 0.0):
                raise ConfigError("there is no scheduled sampling to set", received="decay none", fix="name a decay")
            return None
        usual = {"linear": 1.0, "exponential": 0.999, "inverse_sigmoid": 1000.0}[self.decay]
        return Decay(kind=self.decay, k=usual if self.k is None else self.k, slope=self.slope, floor=self.floor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """Trains an encoder-decoder from nothing on a text and its translation."""

    source: pathlib.Path
    """Text to be translated, one sentence a line; or a .tsv of two columns, or a .jsonl of source and target."""
    target: pathlib.Path | None = None
    """Its translation, line by line; null where `source` holds both."""
    validation_source: pathlib.Path | None = None
    """Text to measure on; null to hold out three sentences of a hundred."""
    validation_target: pathlib.Path | None = None
    """The translation of `validation_source`."""
    encoding: str = "utf-8"
    """How the files are encoded, where they do not say so themselves."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "translation"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: SharedVocabularyConfig = dataclasses.field(default_factory=SharedVocabularyConfig)
    """The vocabulary to learn."""
    model: TranslatorConfig = dataclasses.field(default_factory=TranslatorConfig)
    """The model to train."""
    rows: int = 64
    """Pairs of a batch, of all processes together."""
    context_tokens: int = 100
    """Longest source and longest target to train on; longer pairs are left out and counted."""
    label_smoothing: float = 0.1
    """Share of each target's probability that is spread over the vocabulary (Vaswani et al. 2017, section 5.4)."""
    scheduled_sampling: ScheduledSamplingConfig = dataclasses.field(default_factory=ScheduledSamplingConfig)
    """Give the decoder its own words more and more often; biased, so not the default."""
    beams: int = 5
    """Hypotheses that the finished model searches with; written into its generation_config.json."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-3, beta2=0.98, weight_decay=0.01)
    )
    """The optimiser; AdamW by default."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="cosine", floor=0.02))
    """How the learning rate goes with the step; the usual warm-up has 200 steps."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    epochs: float = 10.0
    """Passes over the pairs, where neither steps nor minutes are given."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make the epochs."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    seed: int = 0
    """Of the weights, the order of the pairs and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens, beams=self.beams)
        if not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        if self.beams > _MOST_BEAMS:
            raise ConfigError("so many beams gain nothing", received=self.beams, expected=f"at most {_MOST_BEAMS}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError("label_smoothing must be at least 0 and below 1", received=self.label_smoothing)
        if self.validation_target is not None and self.validation_source is None:
            raise ConfigError("there is a validation_target without its source", fix="give validation_source")
        check_translator(self.model)
