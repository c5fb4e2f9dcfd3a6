"""Tagging: a network trained from nothing to give every word of a sentence its tag, such as the names it belongs to.

    run = tagging(TaggingConfig(data=Path("train.conll"), validation=Path("dev.conll")))
    trivium.load(run.folder).tag(["Ada Lovelace was born in London."])

Words and tags come in columns, see `trivium.data.conll`. The model of a run is its last one: where spans are rare and
new, as in WNUT-17, the loss on held-out sentences rises again long before most of them are found (lowest at an F1 of
13, and a third higher at 24). With `training.keep_best` 1 it is the one of the lowest loss.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Literal

from trivium import tokenizers
from trivium.data.batches import TaggedBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.conll import TaggedFile, TaggedSentence, read_conll, tag_labels
from trivium.data.provenance import file_sha256
from trivium.data.spans import Scheme
from trivium.data.splits import is_held_out
from trivium.data.tagged import TaggedExample, read_words, tagged_batch, tagged_source
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.local import LocalModel
from trivium.models import architecture
from trivium.models.bilstm import BiLSTM, BiLSTMConfig
from trivium.objectives.tagging import tagging as tags_of_words
from trivium.recipes.building import build_within_memory
from trivium.recipes.evaluate_tagging import evaluate_tagging
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
from trivium.tokenizers import Tokenizer
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_TAGGERS = ("bilstm",)
_WARMUP_STEPS = 20
_HELD_OUT = 0.1
_REPORTED, _MISTAKES = 500, 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaggerConfig:
    """The architecture and its size."""

    architecture: str = "bilstm"
    """An architecture with a head for tags."""
    embedding_width: int = 100
    """Width of the embedding."""
    width: int = 200
    """Width of every layer, both directions together."""
    layers: int = 1
    """Number of layers, each with both directions."""
    dropout: float = 0.5
    """Share of activations that is dropped while training."""
    crf: bool = True
    """Judge the tags of a sentence together, by a conditional random field."""


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
    """Trains a tagger from nothing on sentences whose words have tags."""

    data: pathlib.Path
    """A file in columns, as of the CoNLL tasks: a word first and its tag last, an empty line between sentences."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out a tenth of the sentences."""
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
    """Longest row; a sentence of more pieces is cut between words into several."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=5e-3, beta2=0.99, weight_decay=0.01)
    )
    """The optimiser; AdamW by default."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate goes with the step; the usual warm-up is 20 steps."""
    training: TrainingConfig = dataclasses.field(
        default_factory=lambda: TrainingConfig(evaluate_every_steps=100, checkpoint_every_steps=100, keep_best=0)
    )
    """How a step is computed, and how often to look and save; with keep_best 0 the last model is the run's."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or make `epochs`."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    epochs: float = 10.0
    """Passes over the sentences, where neither steps nor minutes are given."""
    seed: int = 0
    """Of the weights, the order of the sentences and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)
        if not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        check_tagger(self.model)


def tagging(config: TaggingConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "last"`, or in "best" where that is kept.

    Raises `UserError` before any training for sizes, data or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        tagged = read_sentences(config)
        tokenizer = learn_vocabulary(config.vocabulary, tagged.training)
        model = build_tagger(config.model, tokenizer.vocabulary_size, tagged.labels).to(device)
        examples = encode_sentences(tokenizer, tagged.training, tagged.labels, config.context_tokens)
        job = Job(
            model=model,
            tokenizer=tokenizer,
            source=_source(config, examples, here),
            validation=_validation(config, tokenizer, tagged, here),
            objective=tags_of_words,
            metadata={
                "objective": "tagging",
                "labels": list(tagged.labels),
                "scheme": tagged.scheme,
                "architecture": config.model.architecture,
                "data": str(config.data),
                "data_fingerprint": file_sha256(config.data),
                "sentences": len(tagged.training),
            },
        )
        steps = max(2, round(config.epochs * math.ceil(len(examples) / config.rows)))
        run = train(config, job, title="tagging", default_steps=steps, usual_warmup_steps=_WARMUP_STEPS)
        labelled = functools.partial(_measured, tagged=tagged, path=config.validation or config.data)
        write_run_report(run, device, labelled=labelled, loss_of="a word")
        return run


def _measured(model: LocalModel, *, tagged: "Sentences", path: pathlib.Path) -> Labelled:
    """What the run's report tells of some held-out sentences."""
    file = TaggedFile(sentences=tagged.held_out, scheme=tagged.scheme)
    result, found = evaluate_tagging(model, file, path, limit=_REPORTED)
    figures = result["metrics"]
    wrong = [one for one in found if one.tags != one.target]
    return Labelled(
        count=result["count"],
        figures={name: figures[name] for name in ("f1", "f1_macro", "token_accuracy") if name in figures},
        intervals=result["intervals"],
        per_label=figures.get("per_type", {}),
        mistakes=[
            Mistake(text=" ".join(one.words), wanted=" ".join(one.target), given=" ".join(one.tags))
            for one in wrong[:_MISTAKES]
        ],
    )


# Sentences -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences:
    """What is trained and measured on."""

    training: list[TaggedSentence]
    """In the order of their file."""
    held_out: list[TaggedSentence]
    labels: tuple[str, ...]
    """Every tag there is, in the order of class ids."""
    scheme: Scheme | None
    """How tags mark spans: iob2 or iobes; None where they mark none."""


def read_sentences(config: TaggingConfig) -> Sentences:
    """The sentences as the configuration shares them out. Raises `DataError` for files that cannot be used."""
    files = [
        read_conll(path, encoding=config.encoding) for path in (config.data, config.validation) if path is not None
    ]
    labels, scheme = tag_labels(files)
    if len(labels) < 2:
        raise DataError(
            "there is only one tag, so there is nothing to tell apart",
            received=f"{config.data}: every word is {', '.join(labels)}",
            fix="check that the tag is in the last column",
        )
    if len(files) == 2:
        held_out = files[1].sentences
        known = {sentence.words for sentence in held_out}
        training = [sentence for sentence in files[0].sentences if sentence.words not in known]
        if not training:
            raise DataError("every sentence is in the validation too", received=config.validation)
    else:
        training, held_out = _shared_out(config.data, files[0])
    return Sentences(training=training, held_out=held_out, labels=labels, scheme=scheme)


def _shared_out(path: pathlib.Path, file: TaggedFile) -> tuple[list[TaggedSentence], list[TaggedSentence]]:
    training: list[TaggedSentence] = []
    held_out: list[TaggedSentence] = []
    for sentence in file.sentences:  # by its words: a sentence that is there twice stands on one side
        (held_out if is_held_out(" ".join(sentence.words), _HELD_OUT) else training).append(sentence)
    if not training or not held_out:
        raise DataError(
            "there are too few different sentences to hold any out",
            received=f"{path}: {len({sentence.words for sentence in file.sentences})}",
            fix="give more, or a file of them as validation",
        )
    return training, held_out


def learn_vocabulary(config: TagVocabularyConfig, sentences: Sequence[TaggedSentence]) -> Tokenizer:
    """The vocabulary of the words of ``sentences``. Raises `TokenizerError` for a size it cannot have."""
    texts = (" " + " ".join(sentence.words) for sentence in sentences)
    return tokenizers.train(texts, kind=config.kind, vocabulary_size=config.size)


def encode_sentences(
    tokenizer: Tokenizer, sentences: Sequence[TaggedSentence], labels: Sequence[str], context_tokens: int
) -> list[TaggedExample]:
    """Each sentence as an example; one that is longer than the context as several."""
    ids = {label: number for number, label in enumerate(labels)}
    examples = []
    read = read_words(tokenizer, [sentence.words for sentence in sentences], longest=context_tokens)
    for sentence, stretches in zip(sentences, read, strict=True):
        start = 0
        for stretch in stretches:
            tags = sentence.tags[start : start + len(stretch.places)]
            examples.append(TaggedExample(text=stretch, tags=[ids[tag] for tag in tags]))
            start += len(tags)
    return examples


def _source(
    config: TaggingConfig, examples: Sequence[TaggedExample], here: processes.Place
) -> Callable[[], BucketedSource[TaggedBatch]]:
    return functools.partial(
        tagged_source, examples, rows=config.rows, seed=config.seed, rank=here.rank, world=here.world
    )


def _validation(
    config: TaggingConfig, tokenizer: Tokenizer, tagged: Sentences, here: processes.Place
) -> list[TaggedBatch]:
    """Every held-out sentence once, those of about one length together."""
    examples = encode_sentences(tokenizer, tagged.held_out, tagged.labels, config.context_tokens)
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].text.ids))
    cuts = range(0, len(order), config.rows)
    batches = [tagged_batch(examples, order[first : first + config.rows]) for first in cuts]
    return measured_on(batches, config.training)


# Model ---------------------------------------------------------------------------------------------------------------


def check_tagger(config: TaggerConfig) -> None:
    """Raises `ConfigError` or `Unsupported` for what a tagger cannot be, whatever the sentences."""
    entry = architecture(config.architecture)
    if entry.name not in _TAGGERS:
        raise Unsupported(
            "tagging needs an architecture with a head for tags",
            received=f"{entry.name}, of kind {entry.kind!r}",
            expected=", ".join(_TAGGERS),
        )
    require_at_least(1, embedding_width=config.embedding_width, width=config.width, layers=config.layers)
    if not 0 <= config.dropout < 1:  # NaN fails every comparison
        raise ConfigError("dropout must be at least 0 and below 1", received=config.dropout)
    _settings(config, 1, ("O",))


def build_tagger(config: TaggerConfig, vocabulary_size: int, labels: tuple[str, ...]) -> BiLSTM:
    """A new model with random weights for words in ``vocabulary_size`` pieces. Raises `ConfigError`."""
    check_tagger(config)
    return build_within_memory(functools.partial(BiLSTM, _settings(config, vocabulary_size, labels)))


def _settings(config: TaggerConfig, vocabulary_size: int, labels: tuple[str, ...]) -> BiLSTMConfig:
    return BiLSTMConfig(
        vocabulary_size=vocabulary_size,
        embedding_width=config.embedding_width,
        width=config.width,
        layers=config.layers,
        dropout=config.dropout,
        head="tagging",
        labels=labels,
        crf=config.crf,
    )
