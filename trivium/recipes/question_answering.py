"""Question answering: a network that finds the answer to a question in a text (Devlin et al. 2018, section 4.2).

    run = question_answering(QuestionAnsweringConfig(data=Path("train.json"), base=Path("runs/pretrain")))
    trivium.load(run.folder).answer("Who was born in London?", "Ada Lovelace was born in London.")

Questions come in the form of SQuAD, see `trivium.data.questions`. A text that is longer than a row is read in windows
that overlap, and a window that does not hold the answer points at its first token.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn

from trivium import tokenizers
from trivium.data.batches import SpanBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.labelled_batches import span_batch, span_source
from trivium.data.provenance import file_sha256
from trivium.data.questions import Question, Window, read_questions, windows
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError
from trivium.lm.local import LocalModel
from trivium.lm.reading import at_most, longest_row, reads_types
from trivium.objectives.span_extraction import span_extraction
from trivium.recipes.answerer import AnswererConfig, build_answerer, check_answerer
from trivium.recipes.encoder import special_tokens
from trivium.recipes.evaluate_answering import evaluate_answering
from trivium.recipes.run_report import write_run_report
from trivium.recipes.starting import (
    architecture_of,
    check_start,
    start_facts,
    transplanted,
    usual_epochs,
    usual_optimiser,
    usual_warmup,
)
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

_HELD_OUT = 0.1
_WARMUP_STEPS = 20
_REPORTED, _MISTAKES = 200, 6
_USUAL_OPTIMISER = OptimiserConfig(learning_rate=2e-3, beta2=0.99, weight_decay=0.01)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionVocabularyConfig:
    """The vocabulary, which is trained on the questions and the texts."""

    kind: Literal["byte_bpe", "bpe", "wordpiece", "unigram"] = "byte_bpe"
    """Byte-level BPE spells any text."""
    size: int = 8000
    """Tokens in the vocabulary."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionAnsweringConfig:
    """Trains a network to find the answers to questions in texts."""

    data: pathlib.Path
    """A .json file of questions, texts and answers in the form of SQuAD."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out a tenth of the texts, with all of their questions."""
    base: pathlib.Path | None = None
    """A saved model or run, whose body and vocabulary are taken; null to train from nothing."""
    fresh: bool = False
    """Take the shape and the vocabulary of the base only, and draw all weights anew: what the same training does
    without what the base has learnt."""
    encoding: str = "utf-8"
    """How the files are encoded, where they do not say so themselves."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "question_answering"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    vocabulary: QuestionVocabularyConfig = dataclasses.field(default_factory=QuestionVocabularyConfig)
    """The vocabulary to train."""
    model: AnswererConfig = dataclasses.field(default_factory=AnswererConfig)
    """The network to train."""
    rows: int = 16
    """Windows of a batch, of all processes together."""
    context_tokens: int = 384
    """Longest row, question and text together; never more than a base holds."""
    stride_tokens: int = 128
    """Tokens of a text from the beginning of one window to that of the next; at most half of a window."""
    optimiser: OptimiserConfig = dataclasses.field(default_factory=lambda: _USUAL_OPTIMISER)
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
    """Passes over the windows, where neither steps nor minutes are given; null for 4 with a base, else 10."""
    seed: int = 0
    """Of the weights, the order of the windows and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, stride_tokens=self.stride_tokens, vocabulary_size=self.vocabulary.size)
        require_at_least(8, context_tokens=self.context_tokens)  # of which at least half is text
        if self.epochs is not None and not 0 < self.epochs < math.inf:
            raise ConfigError("epochs must be a finite number above 0", received=self.epochs)
        check_start(
            self.base,
            self.fresh,
            given={"model": self.model, "vocabulary": self.vocabulary},
            usual={"model": AnswererConfig(), "vocabulary": QuestionVocabularyConfig()},
        )
        if self.base is None:
            check_answerer(self.model)


def question_answering(config: QuestionAnsweringConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for a base, data, sizes or a folder that cannot be used; `Interrupted` after
    SIGINT or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        training, held_out = share_out_questions(config)
        model, tokenizer = network_and_vocabulary(config, training)
        read = functools.partial(windows, tokenizer, longest=_longest(config, model), stride=config.stride_tokens)
        found = read(training)
        job = Job(
            model=model.to(device),
            tokenizer=tokenizer,
            source=_source(config, model, found, here),
            validation=measured_on(_validation(config, model, read(held_out)), config.training),
            objective=span_extraction,
            metadata={
                "objective": "answering",
                "context_tokens": _longest(config, model),
                "architecture": architecture_of(model),
                **start_facts(config.base, config.fresh),
                "data": str(config.data),
                "data_fingerprint": file_sha256(config.data),
                "questions": len(training),
                "windows": len(found),
            },
        )
        steps = max(2, round(usual_epochs(config.epochs, config.base) * math.ceil(len(found) / config.rows)))
        optimiser = usual_optimiser(config.optimiser, _USUAL_OPTIMISER, model)
        run = train(
            dataclasses.replace(config, optimiser=optimiser),
            job,
            title="question answering",
            default_steps=steps,
            usual_warmup_steps=usual_warmup(model, config.steps or steps, _WARMUP_STEPS),
        )
        write_run_report(run, device, labelled=functools.partial(_measured, questions=held_out), loss_of="a window")
        return run


def _measured(model: LocalModel, *, questions: Sequence[Question]) -> Labelled:
    """How the model answers some held-out questions, by the evaluation of SQuAD."""
    count = min(_REPORTED, len(questions))
    chosen = [questions[index * len(questions) // count] for index in range(count)]
    result, found = evaluate_answering(model, chosen)
    wrong = [one for one in found if one.answer not in (one.target or ("",))]
    return Labelled(
        count=result["count"],
        figures=result["metrics"],
        intervals=result["intervals"],
        per_label={},
        mistakes=[
            Mistake(text=one.question, wanted=" or ".join(dict.fromkeys(one.target)), given=one.answer)
            for one in wrong[:_MISTAKES]
        ],
    )


# Questions -----------------------------------------------------------------------------------------------------------


def share_out_questions(config: QuestionAnsweringConfig) -> tuple[list[Question], list[Question]]:
    """(to train on, to measure on), no text on both sides. Raises `DataError` for files that cannot be used."""
    questions = read_questions(config.data, encoding=config.encoding)
    if config.validation is None:
        training, held_out = [], []
        for one in questions:
            (held_out if is_held_out(one.context, _HELD_OUT) else training).append(one)
    else:
        held_out = read_questions(config.validation, encoding=config.encoding)
        known = {one.context for one in held_out}
        training = [one for one in questions if one.context not in known]
    if not training or not held_out:
        raise DataError(
            "there are too few different texts to train on some and to measure on others",
            received=f"{len({one.context for one in questions}):,} texts, {len(training):,} questions to train on",
            fix="give more, or a file of other texts as validation",
        )
    return training, held_out


def _longest(config: QuestionAnsweringConfig, network: nn.Module) -> int:
    return at_most(config.context_tokens, longest_row(network)) or config.context_tokens


def _split(
    network: nn.Module, found: Sequence[Window]
) -> tuple[list[list[int]], list[tuple[int, int]], list[list[int]] | None]:
    """(ids, spans, types) of windows; no types where the network is told none."""
    types = [window.types for window in found] if reads_types(network) else None
    return [window.ids for window in found], [(window.first, window.last) for window in found], types


def _source(
    config: QuestionAnsweringConfig, network: nn.Module, found: Sequence[Window], here: processes.Place
) -> Callable[[], BucketedSource[SpanBatch]]:
    ids, spans, types = _split(network, found)
    settings: dict[str, Any] = {"rows": config.rows, "seed": config.seed, "rank": here.rank, "world": here.world}
    return functools.partial(span_source, ids, spans, types=types, **settings)


def _validation(config: QuestionAnsweringConfig, network: nn.Module, found: Sequence[Window]) -> list[SpanBatch]:
    """Every window once, those of about one length together."""
    ids, spans, types = _split(network, found)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    cuts = range(0, len(order), config.rows)
    return [span_batch(ids, spans, order[first : first + config.rows], types=types) for first in cuts]


# Model ---------------------------------------------------------------------------------------------------------------


def network_and_vocabulary(
    config: QuestionAnsweringConfig, questions: Sequence[Question]
) -> tuple[nn.Module, Tokenizer]:
    """On the base, or new. Raises `UserError` for what cannot be."""
    if config.base is not None:
        return transplanted(config.base, "span", (), fresh=config.fresh)
    texts = dict.fromkeys(one.context for one in questions)
    tokenizer = tokenizers.train(
        [*texts, *(one.question for one in questions)],
        kind=config.vocabulary.kind,
        vocabulary_size=config.vocabulary.size,
        special=special_tokens(config.vocabulary.kind),
    )
    return build_answerer(config.model, tokenizer.vocabulary_size, config.context_tokens), tokenizer
