"""Classification: a network trained from nothing to tell which of some labels a text has.

    run = classification(ClassificationConfig(data=Path("reviews.csv")))
    model = trivium.load(run.folder)

With a head, or as a language model in one of two ways, see `trivium.lm.classifying`: discriminative, which reads the
text and predicts the label, or generative, which reads the label and predicts the text.
"""

import collections
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

from trivium import tokenizers
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.labelled import LabelledText, labels_of, read_labelled, stratified_split, without_copies
from trivium.data.labelled_batches import examples_source, labelled_source
from trivium.data.provenance import content_sha256
from trivium.errors import ConfigError, DataError
from trivium.lm.classifying import LabelFacts, Method, label_ids, label_token, read_ids, written_ids
from trivium.lm.local import LocalModel
from trivium.objectives.causal import causal
from trivium.objectives.classification import classification as labelling
from trivium.recipes.classifier import ClassifierConfig, build_classifier, check_classifier
from trivium.recipes.evaluate_classification import evaluate_classification
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
    train,
)
from trivium.reports.labels import Labelled, Mistake
from trivium.runtime import processes
from trivium.tokenizers import SpecialTokens, Tokenizer
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_HELD_OUT = 0.1
_WARMUP_STEPS = 20
_REPORTED, _MISTAKES = 500, 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelVocabularyConfig:
    """The vocabulary, which is trained on the training texts."""

    kind: Literal["word", "byte_bpe", "bpe", "unigram", "character"] = "word"
    """Whole words suit small data in languages with spaces; byte-level BPE spells any text."""
    size: int | None = 10_000
    """Tokens in the vocabulary; for words and characters its limit, null for all of them."""
    lowercase: bool = False
    """Drop capitals; for words only."""

    def __post_init__(self) -> None:
        require_at_least(1, size=self.size)
        if self.size is None and self.kind not in ("word", "character"):
            raise ConfigError(f"a vocabulary of kind {self.kind} needs a size", received=None, fix="set size to 4096")
        if self.lowercase and self.kind != "word":
            raise ConfigError("lowercase is for words", received=f"kind {self.kind}", fix="leave lowercase out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Trains a classifier from nothing on texts with labels."""

    data: pathlib.Path
    """A .jsonl, .csv or .tsv file of texts and labels, or a folder or .zip with a folder or a file for each label."""
    validation: pathlib.Path | None = None
    """Data of the same forms to measure on; null to hold out a tenth of the texts of every label."""
    text_field: str | None = None
    """Field or column of the text; null for text, or else sentence."""
    label_field: str = "label"
    """Field or column of the label."""
    encoding: str = "utf-8"
    """Encoding of the texts, where they do not say so themselves."""
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
    """Tokens that are read of a text; longer ones are cut there, and counted."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-3, beta2=0.99, weight_decay=0.1)
    )
    """The optimiser; AdamW by default."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is 20 steps."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100)
    )
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float = 10.0
    """Passes over the texts, where neither steps nor minutes are given."""
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
        if not 0 < self.epochs < float("inf"):
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        check_classifier(self.model, self.method)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
    """What is trained and measured on."""

    training: list[LabelledText]
    """In the order of their source."""
    held_out: list[LabelledText]
    """None of them is a copy of one of `training`."""
    labels: tuple[str, ...]
    """Sorted; the place of a label is its class."""

    @property
    def prior(self) -> tuple[float, ...]:
        """The share of each label in `training`."""
        counts = collections.Counter(text.label for text in self.training)
        return tuple(counts[label] / len(self.training) for label in self.labels)


def classification(config: ClassificationConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for data, sizes or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        texts = read_texts(config, tell=here.is_first)
        tokenizer = train_vocabulary(config, texts)
        model = build_classifier(
            config.model,
            config.method,
            vocabulary_size=tokenizer.vocabulary_size,
            labels=texts.labels,
            context_tokens=config.context_tokens,
        ).to(device)
        source = _source(config, tokenizer, texts.training, texts.labels, here, tell=here.is_first)
        job = Job(
            model=model,
            tokenizer=tokenizer,
            source=source,
            validation=measured_on(_validation(config, tokenizer, texts), config.training),
            objective=labelling if config.method == "head" else causal,
            metadata=_facts(config, texts),
        )
        steps = max(2, round(config.epochs * source().batches_per_epoch))
        run = train(config, job, title="classification", default_steps=steps, usual_warmup_steps=_WARMUP_STEPS)
        write_run_report(
            run,
            device,
            labelled=functools.partial(_measured, texts=texts) if texts.held_out else None,
            loss_of="a token" if config.method == "generative" else "a text",
        )
        return run


def _measured(model: LocalModel, *, texts: Texts) -> Labelled:
    """What the run's report tells of some held-out texts."""
    result, found = evaluate_classification(model, texts.held_out, limit=_REPORTED)
    wrong = [one for one in found if one.label != one.target]
    figures = {name: result["metrics"][name] for name in ("accuracy", "macro_f1")}
    return Labelled(
        count=result["count"],
        figures=figures,
        intervals=result["intervals"],
        per_label=result["metrics"]["per_label"],
        mistakes=[
            Mistake(text=one.text, wanted=one.target, given=f"{one.label} ({one.probability:.0%})")
            for one in wrong[:_MISTAKES]
        ],
    )


# The texts ------------------------------------------------------------------------------------------------------------


def read_texts(config: ClassificationConfig, *, tell: bool = False) -> Texts:
    """The texts to train and to measure on. Raises `DataError` for what cannot be read or used, with its place.

    Training texts that the validation has as well are left out; with `tell` their number is printed to stderr.
    """
    read = functools.partial(
        read_labelled, text_field=config.text_field, label_field=config.label_field, encoding=config.encoding
    )
    training = read(config.data)
    labels = labels_of(training)
    if len(labels) < 2:
        raise DataError(
            "there is only one label, so there is nothing to tell apart",
            received=f"{config.data}: {len(training):,} texts, all labelled {training[0].label!r}",
            fix="check label_field",
        )
    if len(labels) > max(2, len(training) // 2):
        raise DataError(
            "most texts have a label of their own, so there is nothing to learn",
            received=f"{config.data}: {len(labels):,} labels for {len(training):,} texts",
            fix="check label_field",
        )
    if config.validation is None:
        training, held_out = stratified_split(training, _HELD_OUT)
        left = labels_of(training)
        if left != labels:
            raise DataError(
                "a label has only texts that another label has too, so none of it is left to train on",
                received=", ".join(sorted(set(labels) - set(left))),
                fix="correct the labels of these texts, or give a validation of your own",
            )
        return Texts(training=training, held_out=held_out, labels=labels)
    held_out = read(config.validation)
    strange = next((text for text in held_out if text.label not in labels), None)
    if strange is not None:
        raise DataError(
            "a text to measure on has a label that no training text has",
            received=f"{strange.where}: {strange.label!r}",
            expected=", ".join(labels[:20]),
        )
    kept = without_copies(training, held_out)
    if tell and len(kept) < len(training):
        copies = len(training) - len(kept)
        print(f"{copies:,} of {len(training):,} texts are in the validation too and are left out", file=sys.stderr)
    if set(labels_of(kept)) != set(labels):
        raise DataError("all texts of a label are in the validation too", received=config.validation)
    return Texts(training=kept, held_out=held_out, labels=labels)


def train_vocabulary(config: ClassificationConfig, texts: Texts) -> Tokenizer:
    """Learnt from the training texts; a language model's has a special token for each label."""
    wanted = config.vocabulary
    return tokenizers.train(
        [text.text for text in texts.training],
        kind=wanted.kind,
        vocabulary_size=wanted.size,
        lowercase=wanted.lowercase or None,
        special=SpecialTokens(
            unk="<unk>" if wanted.kind in ("word", "bpe", "unigram") else None,
            roles=(),
            others=() if config.method == "head" else tuple(map(label_token, texts.labels)),
        ),
    )


def _source(
    config: ClassificationConfig,
    tokenizer: Tokenizer,
    texts: Sequence[LabelledText],
    labels: tuple[str, ...],
    here: processes.Place,
    *,
    tell: bool = False,
) -> Callable[[], BucketedSource[Any]]:
    """What makes this process's source of batches of `texts`; with `tell`, how many are cut is printed to stderr."""
    number = {label: index for index, label in enumerate(labels)}
    classes = [number[text.label] for text in texts]
    ids = tokenizer.encode_batch([text.text for text in texts])
    cut = sum(len(each) >= config.context_tokens for each in ids)
    if tell and cut:
        longest = 1 + max(map(len, ids))
        print(
            f"{cut:,} of {len(ids):,} texts are longer than {config.context_tokens} tokens and are cut there; "
            f"context_tokens {longest} would keep all of them whole",
            file=sys.stderr,
        )
    settings = {"rows": config.rows, "seed": config.seed, "rank": here.rank, "world": here.world}
    if config.method == "head":
        rows = [read_ids(tokenizer, each, config.context_tokens) for each in ids]
        return functools.partial(labelled_source, rows, classes, **settings)
    named = label_ids(tokenizer, labels)
    examples = [_example(config, tokenizer, each, named[label]) for each, label in zip(ids, classes, strict=True)]
    return functools.partial(examples_source, examples, **settings)


def _example(config: ClassificationConfig, tokenizer: Tokenizer, ids: Sequence[int], label: int) -> Example:
    """A text with its label as what a language model reads, and what of it is predicted."""
    if config.method == "discriminative":
        read = read_ids(tokenizer, ids, config.context_tokens)
        return Example(ids=[*read, label], trained=[False] * len(read) + [True])
    written = written_ids(tokenizer, ids, config.context_tokens)
    return Example(ids=[label, *written], trained=[False] + [True] * len(written))


def _validation(config: ClassificationConfig, tokenizer: Tokenizer, texts: Texts) -> list[Any]:
    """One pass over what is held out."""
    if not texts.held_out:
        return []
    alone = processes.Place()  # every process holds all of them, and takes its own share
    source = _source(config, tokenizer, texts.held_out, texts.labels, alone)()
    return [next(source) for _ in range(round(source.batches_per_epoch))]


def _facts(config: ClassificationConfig, texts: Texts) -> dict[str, Any]:
    """What the saved model tells of itself."""
    facts = LabelFacts(
        method=config.method, labels=texts.labels, prior=texts.prior, context_tokens=config.context_tokens
    )
    return {
        **facts.to_json(),
        "data": str(config.data),
        "data_fingerprint": content_sha256(config.data),
        "architecture": config.model.name(config.method),
        "examples": len(texts.training),
    }
