"""Translation: an encoder-decoder from nothing on parallel text, from a fixed context to the Transformer.

    run = translation(TranslationConfig(source=Path("train.de"), target=Path("train.en")))
    trivium.load(run.folder).generate(["Ein Hund rennt."], max_new_tokens=40)

Source and target share one vocabulary, learnt from the training pairs of both sides (Sennrich et al. 2016, section 3).
Any text that is written for another goes in alike: a headline for a report, the spelling of a word for its sound.
"""

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from trivium import tokenizers
from trivium.data.batches import Seq2SeqBatch
from trivium.data.pairs import Seq2SeqSource, seq2seq_batch
from trivium.data.parallel import is_pair_file, read_parallel
from trivium.data.provenance import file_sha256
from trivium.data.resumable import BatchSource
from trivium.data.splits import is_held_out
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.objectives.scheduled_sampling import ScheduledSource, scheduled_sampling
from trivium.objectives.seq2seq import seq2seq
from trivium.recipes.run_report import write_run_report
from trivium.recipes.training import Job, begin, measured_on, own_device, require_free, train
from trivium.recipes.translation_config import ScheduledSamplingConfig, SharedVocabularyConfig, TranslationConfig
from trivium.recipes.translator import build_translator
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.learners.supervised import Objective
from trivium.training.run import Run

__all__ = ["ScheduledSamplingConfig", "SharedVocabularyConfig", "TranslationConfig", "translation"]

_WARMUP_STEPS = 200
_HELD_OUT = 0.03

Ids = Sequence[int]


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
        model: Any = build_translator(config.model, tokenizer, config.context_tokens).to(device)
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
            validation=measured_on(
                measured_batches(measured, config.rows, start_id, end_of_texts(tokenizer)), config.training
            ),
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
    eos_id, decay = end_of_texts(tokenizer), config.scheduled_sampling.schedule()

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


def measured_batches(held_out: Sequence[tuple[Ids, Ids]], rows: int, start_id: int, eos_id: int) -> list[Seq2SeqBatch]:
    """Every held-out pair once, equal lengths together."""
    pairs = sorted(held_out, key=lambda pair: (len(pair[1]), len(pair[0])))
    cuts = [range(first, min(first + rows, len(pairs))) for first in range(0, len(pairs), rows)]
    return [seq2seq_batch(pairs, cut, start_id=start_id, eos_id=eos_id) for cut in cuts]


def end_of_texts(tokenizer: Tokenizer) -> int:
    """The id that ends what is written. Raises `Unsupported` for a vocabulary without one."""
    if tokenizer.eos_id is None:
        raise Unsupported(
            "the vocabulary has no token that ends a text",
            received="no eos_token",
            fix="name its eos_token in tokenizer_config.json",
        )
    return tokenizer.eos_id


def _objective(config: TranslationConfig) -> Objective:
    kind = seq2seq if config.scheduled_sampling.schedule() is None else scheduled_sampling
    return functools.partial(kind, label_smoothing=config.label_smoothing)
