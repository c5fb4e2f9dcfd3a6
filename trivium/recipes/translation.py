"""Translation: an encoder-decoder from nothing on parallel text, from a fixed context to the Transformer.

    run = translation(TranslationConfig(source=Path("train.de"), target=Path("train.en")))
    trivium.load(run.folder).generate(["Ein Hund rennt."], max_new_tokens=40)

Source and target share one vocabulary, learnt from the training pairs of both sides (Sennrich et al. 2016, section 3).
Any text that is written for another goes in alike: a headline for a report, the spelling of a word for its sound.
"""

import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

from trivium import tokenizers
from trivium.data.batches import Seq2SeqBatch
from trivium.data.pairs import Seq2SeqSource, seq2seq_batch
from trivium.data.parallel import is_pair_file, read_parallel
from trivium.data.provenance import file_sha256
from trivium.data.resumable import BatchSource
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError
from trivium.objectives.scheduled_sampling import Decay, ScheduledSource, scheduled_sampling
from trivium.objectives.seq2seq import seq2seq
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
from trivium.recipes.translator import TranslatorConfig, build_translator, check_translator
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.learners.supervised import Objective
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_WARMUP_STEPS = 200
_HELD_OUT = 0.03
_MOST_BEAMS = 100

Ids = Sequence[int]


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


def translation(config: TranslationConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`, by the loss of the held-out pairs.

    Raises `UserError` before any training for sizes, data or a folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        training, held_out = read_pairs(config)
        tokenizer = learn_vocabulary(config.vocabulary, training)
        model: Any = build_translator(config.model, tokenizer).to(device)
        start_id: int = model.config.start_id
        files = [path for path in (config.source, config.target) if path is not None]
        pairs = _fitting(encode_pairs(tokenizer, training), config, "to train on", tell=here.is_first)
        encoded = encode_pairs(tokenizer, held_out)
        measured = _fitting(encoded, config, "to measure on", tell=here.is_first)
        if not pairs:
            raise DataError(
                "every pair is longer than what is trained on",
                received=f"{len(training):,} pairs",
                expected=f"source and target of at most {config.context_tokens} tokens",
                fix="raise context_tokens, or cut the text into sentences",
            )
        job = Job(
            model=model,
            tokenizer=tokenizer,
            source=_source(config, pairs, start_id, tokenizer, here),
            validation=measured_on(_validation(config, measured, start_id, tokenizer), config.training),
            objective=_objective(config),
            generation={
                "num_beams": config.beams,
                "early_stopping": True,
                "max_new_tokens": config.context_tokens,
            },
            metadata={
                "objective": "translation",
                "architecture": config.model.architecture,
                "data": [str(path) for path in files],
                "data_fingerprint": [file_sha256(path) for path in files],
                "pairs": len(pairs),
            },
        )
        steps = max(2, round(config.epochs * math.ceil(len(pairs) / config.rows)))
        run = train(config, job, title="translation", default_steps=steps, usual_warmup_steps=_WARMUP_STEPS)
        shown = [texts for texts, ids in zip(held_out, encoded, strict=True) if _fits(ids, config)]
        write_run_report(run, device, pairs=shown)
        return run


# Pairs ---------------------------------------------------------------------------------------------------------------


def read_pairs(config: TranslationConfig) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(to train on, to measure on). Raises `DataError` for files that do not belong together."""
    for source, target in ((config.source, config.target), (config.validation_source, config.validation_target)):
        if source is not None and target is not None and is_pair_file(source):
            raise ConfigError(f"{source} holds both sides", received=f"a target too: {target}", fix="leave it out")
    pairs = read_parallel(config.source, config.target, encoding=config.encoding)
    if config.validation_source is not None:
        held_out = read_parallel(config.validation_source, config.validation_target, encoding=config.encoding)
        known = {source for source, _ in held_out}
        training = [pair for pair in pairs if pair[0] not in known]
        if not training:
            raise DataError("every source is in the validation too", received=config.validation_source)
        return training, held_out
    training, held_out = [], []
    for pair in pairs:  # by the source: two translations of one sentence stand on the same side
        (held_out if is_held_out(pair[0], _HELD_OUT) else training).append(pair)
    if not training:
        raise DataError("there are too few pairs to train on", received=len(pairs), fix="give more")
    return training, held_out


def learn_vocabulary(config: SharedVocabularyConfig, pairs: Sequence[tuple[str, str]]) -> Tokenizer:
    """One vocabulary from both sides of the training pairs. Raises `TokenizerError` for a size it cannot have."""
    texts = (side for pair in pairs for side in pair)
    return tokenizers.train(texts, kind=config.kind, vocabulary_size=config.size)


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[tuple[Ids, Ids]]:
    """(source ids, target ids): the source as a prompt is read, the target without the ids that end it."""
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    sources = (before + ids + after for ids in tokenizer.encode_batch([source for source, _ in pairs]))
    return list(zip(sources, tokenizer.encode_target_batch([target for _, target in pairs]), strict=True))


def _fitting(
    pairs: Sequence[tuple[Ids, Ids]], config: TranslationConfig, purpose: str, *, tell: bool
) -> list[tuple[Ids, Ids]]:
    """The pairs that are not too long; the others are told of."""
    fitting = [pair for pair in pairs if _fits(pair, config)]
    if tell and len(fitting) < len(pairs):
        told = f"{len(pairs) - len(fitting):,} of {len(pairs):,} pairs {purpose}"
        print(f"{told} are longer than {config.context_tokens} tokens and left out", file=sys.stderr)
    return fitting


def _fits(pair: tuple[Ids, Ids], config: TranslationConfig) -> bool:
    return max(len(pair[0]), len(pair[1]) + 1) <= config.context_tokens


def _source(
    config: TranslationConfig,
    pairs: Sequence[tuple[Ids, Ids]],
    start_id: int,
    tokenizer: Tokenizer,
    here: processes.Place,
) -> Callable[[], BatchSource[Any]]:
    eos_id, decay = _end(tokenizer), config.scheduled_sampling.schedule()

    def source() -> BatchSource[Any]:
        batches = Seq2SeqSource(
            pairs,
            start_id=start_id,
            eos_id=eos_id,
            rows=config.rows,
            seed=config.seed,
            rank=here.rank,
            world=here.world,
        )
        return batches if decay is None else ScheduledSource(batches, decay, seed=config.seed, rank=here.rank)

    return source


def _validation(
    config: TranslationConfig, held_out: Sequence[tuple[Ids, Ids]], start_id: int, tokenizer: Tokenizer
) -> list[Seq2SeqBatch]:
    """Every held-out pair once, equal lengths together."""
    pairs = sorted(held_out, key=lambda pair: (len(pair[1]), len(pair[0])))
    cuts = [range(first, min(first + config.rows, len(pairs))) for first in range(0, len(pairs), config.rows)]
    return [seq2seq_batch(pairs, cut, start_id=start_id, eos_id=_end(tokenizer)) for cut in cuts]


def _end(tokenizer: Tokenizer) -> int:
    assert tokenizer.eos_id is not None, "a vocabulary that is learnt here has an end token"
    return tokenizer.eos_id


def _objective(config: TranslationConfig) -> Objective:
    kind = seq2seq if config.scheduled_sampling.schedule() is None else scheduled_sampling
    return functools.partial(kind, label_smoothing=config.label_smoothing)
