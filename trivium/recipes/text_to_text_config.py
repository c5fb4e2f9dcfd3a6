"""What `trivium train text_to_text` may be told."""

import dataclasses
import math
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.recipes.starting import check_start
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.recipes.translation_config import SharedVocabularyConfig
from trivium.recipes.translator import TranslatorConfig, check_translator
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

USUAL_OPTIMISER = OptimiserConfig(learning_rate=1e-3, beta2=0.98, weight_decay=0.01)
"""From nothing; see `trivium.recipes.starting.usual_optimiser` for a base."""
_USUAL_MODEL = TranslatorConfig(architecture="t5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextToTextConfig:
    """Trains an encoder-decoder to write a text for a text."""

    data: pathlib.Path
    """A .jsonl, .json, .csv or .tsv file of texts and what to write for them; with `target`, one text a line."""
    target: pathlib.Path | None = None
    """What is to be written for each line of `data`; null where that holds both."""
    validation: pathlib.Path | None = None
    """Data of the same form to measure on; null to hold out a twentieth of the texts."""
    validation_target: pathlib.Path | None = None
    """What is to be written for each line of `validation`, where `target` is given."""
    source_field: str | None = None
    """Field or column of the text; null for the first there is of source, text, document, article, dialogue."""
    target_field: str | None = None
    """Field or column of what is to be written; null for the first there is of target, summary, highlights.
    It may be a label: what is written for a text is then its class."""
    encoding: str = "utf-8"
    """How the files are encoded, where they do not say so themselves."""
    task: Literal["summarisation", "translation", "answering", "text_to_text"] = "text_to_text"
    """What the model is said to be for. For answering, `data` holds questions in the form of SQuAD, of which those that
    have an answer are read as "question: ... context: ..."."""
    prefix: str = ""
    """What stands before every text, such as "summarize: "; the model's folder tells it, `predict` puts it there."""
    base: pathlib.Path | None = None
    """A saved encoder-decoder or run to train further; null to train from nothing."""
    fresh: bool = False
    """Take the shape and the vocabulary of the base only, and draw all weights anew: what the same training does
    without what the base has learnt."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "text_to_text"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: SharedVocabularyConfig = dataclasses.field(default_factory=SharedVocabularyConfig)
    """The vocabulary to learn."""
    model: TranslatorConfig = dataclasses.field(default_factory=lambda: _USUAL_MODEL)
    """The network to train."""
    rows: int = 16
    """Pairs of a batch, of all processes together."""
    source_tokens: int = 512
    """Tokens that are read of a text; longer ones are cut there, and counted. Never more than a base holds."""
    target_tokens: int = 128
    """Longest text to learn to write; longer ones are left out and counted. Never more than a base holds."""
    label_smoothing: float = 0.0
    """Share of each target's probability that is spread over the vocabulary (Vaswani et al. 2017, section 5.4)."""
    beams: int = 4
    """Hypotheses that the finished model searches with; written into its generation_config.json."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: USUAL_OPTIMISER)
    """The optimiser; AdamW by default. What is shown here stands with a base for a rate of 5e-5 at a width of 768, more
    for narrower ones, up to 3e-4."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is 200 steps, and with a base a tenth of the run."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float | None = None
    """Passes over the pairs, where neither steps nor minutes are given; null for 4 with a base, else 10."""
    seed: int = 0
    """Of the weights, the order of the pairs and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, beams=self.beams)
        require_at_least(2, source_tokens=self.source_tokens, target_tokens=self.target_tokens)
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError("label_smoothing must be at least 0 and below 1", received=self.label_smoothing)
        if self.task == "answering" and (self.prefix or self.target is not None):
            raise ConfigError(
                "questions are read in a form of their own, from one file with their answers",
                received=f"prefix {self.prefix!r}, target {self.target}",
                fix="leave prefix and target out",
            )
        if (self.target is None or self.validation is None) != (self.validation_target is None):
            raise ConfigError(
                "validation and data are to be of one form",
                received=f"target {self.target}, validation_target {self.validation_target}",
                fix="give a target to both, or to neither",
            )
        check_start(
            self.base,
            self.fresh,
            given={"model": self.model, "vocabulary": self.vocabulary},
            usual={"model": _USUAL_MODEL, "vocabulary": SharedVocabularyConfig()},
        )
        if self.base is None:
            check_translator(self.model)
