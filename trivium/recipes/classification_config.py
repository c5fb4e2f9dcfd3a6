"""What `trivium train classification` may be told."""

import dataclasses
import math
import pathlib
from typing import Literal

from trivium.errors import ConfigError
from trivium.lm.classifying import Method
from trivium.recipes.classifier import ClassifierConfig, check_classifier
from trivium.recipes.starting import check_start
from trivium.recipes.training import TrainingConfig, check_request, require_at_least
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.schedules import ScheduleConfig

USUAL_OPTIMISER = OptimiserConfig(learning_rate=1e-3, beta2=0.99, weight_decay=0.1)
"""Of networks that are no Transformers; see `trivium.recipes.starting.usual_optimiser` for those."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelVocabularyConfig:
    """The vocabulary, which is trained on the training texts."""

    kind: Literal["word", "byte_bpe", "bpe", "wordpiece", "unigram", "character"] = "word"
    """Whole words suit small data in languages with spaces; byte-level BPE spells any text."""
    size: int | None = 10_000
    """Tokens in the vocabulary; for words and characters its limit, null for all of them."""
    lowercase: bool = False
    """Drop capitals; for words and wordpiece only."""

    def __post_init__(self) -> None:
        require_at_least(1, size=self.size)
        if self.size is None and self.kind not in ("word", "character"):
            raise ConfigError(f"a vocabulary of kind {self.kind} needs a size", received=None, fix="set size to 4096")
        if self.lowercase and self.kind not in ("word", "wordpiece"):
            raise ConfigError("lowercase is for words", received=f"kind {self.kind}", fix="leave lowercase out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Trains a classifier on texts, or pairs of texts, with labels or numbers."""

    data: pathlib.Path
    """A .jsonl, .csv or .tsv file of texts and labels, or a folder or .zip with a folder or a file for each label."""
    validation: pathlib.Path | None = None
    """Data of the same forms to measure on; null to hold out a tenth of the texts of every label."""
    base: pathlib.Path | None = None
    """A saved model or run, whose body and vocabulary are taken; null to train from nothing."""
    fresh: bool = False
    """Take the shape and the vocabulary of the base only, and draw all weights anew: what the same training does
    without what the base has learnt."""
    text_field: str | None = None
    """Field or column of the text; null for text, or else sentence, or what goes with `second_field`: sentence1,
    premise."""
    second_field: str | None = None
    """Field or column of a second text, where the label is one of two texts together: sentence2, hypothesis."""
    label_field: str = "label"
    """Field or column of the label."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a table whose first row does not name them: source label mark sentence for CoLA."""
    encoding: str = "utf-8"
    """Encoding of the texts, where they do not say so themselves."""
    regression: bool = False
    """The labels are numbers, which the model is to estimate: how alike two sentences are."""
    method: Method = "head"
    """head: a layer on the network tells the label. discriminative: a language model reads the text and predicts the
    label. generative: it reads the label and predicts the text, and classifies by Bayes' rule."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "classification"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: LabelVocabularyConfig = dataclasses.field(default_factory=LabelVocabularyConfig)
    """The vocabulary to train."""
    model: ClassifierConfig = dataclasses.field(default_factory=ClassifierConfig)
    """The network to train."""
    rows: int = 32
    """Texts of a batch, of all processes together."""
    context_tokens: int = 256
    """Tokens that are read of a text; longer ones are cut there, and counted. Never more than a base holds."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: USUAL_OPTIMISER)
    """The optimiser; AdamW by default. What is shown here stands for the usual one of a Transformer where there is one:
    a rate of 5e-5 at a width of 768, more for narrower ones, up to 3e-4, and a decay of 0.01."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is 20 steps, and a tenth of the run for Transformers.
    """
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100)
    )
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float | None = None
    """Passes over the texts, where neither steps nor minutes are given; null for 4 with a base, else 10."""
    seed: int = 0
    """Of the weights, the order of the texts and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        # Of one token there would be nothing left beside the one that begins a text.
        require_at_least(2, context_tokens=self.context_tokens)
        require_at_least(1, rows=self.rows)
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        check_start(
            self.base,
            self.fresh,
            given={"model": self.model, "vocabulary": self.vocabulary},
            usual={"model": ClassifierConfig(), "vocabulary": LabelVocabularyConfig()},
        )
        if self.base is not None and self.method != "head":
            raise ConfigError("a base gets a head", received=f"method {self.method}", fix="leave method out")
        if self.base is None:
            check_classifier(self.model, self.method, self.head, pairs=self.second_field is not None)

    @property
    def head(self) -> Literal["classification", "regression"]:
        """What the network is to say."""
        return "regression" if self.regression else "classification"
