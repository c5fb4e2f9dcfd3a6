"""What fine-tuning reads: the examples of its files, as ids and in batches, with what is rehearsed among them."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trivium.data.batches import CausalBatch
from trivium.data.columns import columns_of
from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import Record, read_records, told
from trivium.data.resumable import BatchSource
from trivium.data.splits import is_held_out
from trivium.data.task_mixture import Batching, MixedExamplesSource
from trivium.errors import ConfigError, DataError
from trivium.lm.local import LocalModel
from trivium.lm.turns import PromptFormat
from trivium.recipes.examples import encode_record
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.lengths import fitted
from trivium.recipes.mixing import MixingConfig, batches_in_pass, mixed_source
from trivium.recipes.privacy import privacy_of, private_source
from trivium.recipes.rehearsal import old_examples
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.private_gradients import Privacy

_HELD_OUT = 0.05


def read_examples(config: FinetuneConfig, tokenizer: Tokenizer) -> tuple[list[Example], list[Example]]:
    """(to train on, to measure on), encoded. Raises `DataError` for a line that cannot be used."""

    def encoded(records: Sequence[Record]) -> list[Example]:
        return [_encoded(tokenizer, record, config) for record in records]

    columns = columns_of(config.columns) or None
    records = read_records(config.data, columns=columns)
    if processes.place().is_first:
        print(told(records), file=sys.stderr)
    if config.validation is not None:
        measured = read_records(config.validation, columns=columns)
        return encoded(records), encoded(measured)
    training, held_out = [], []
    for record in records:
        (held_out if is_held_out(record.asked, _HELD_OUT) else training).append(record)
    return encoded(training), encoded(held_out)


def _encoded(tokenizer: Tokenizer, record: Record, config: FinetuneConfig) -> Example:
    """Raises `DataError` that says where the record stands; also where nothing of it is to be written."""
    try:
        example = encode_record(tokenizer, record, prompt_format=config.prompt_format, answers=config.answers)
        if not any(example.trained):
            raise DataError("an example has nothing to learn", received="no token that the model is to write")
        return example
    except DataError as error:
        where = f"{record.where}: {error.received}"
        raise DataError(error.what, received=where, expected=error.expected, fix=error.fix) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run reads."""

    source: Callable[[], BatchSource[Any]]
    """Makes this process's source of batches, from the beginning."""
    batches_in_pass: float
    """Batches until all examples were read."""
    passes: Callable[[int], Mapping[str, float]] = lambda _: {}
    """How often so many batches read each task, and what is rehearsed; nothing where there is one kind of example."""
    privacy: Callable[[int], Privacy] | None = None
    """Of so many steps, how private training is done; None: it is not private."""


def reading(config: FinetuneConfig, examples: Sequence[Example], model: LocalModel, here: processes.Place) -> Reading:
    """Examples that fit, mixed, with what is rehearsed, or one by one where training is private. Raises `UserError`."""
    assert model.tokenizer is not None, "refused before"
    if config.privacy.wanted:
        return _private_reading(config, examples, model.tokenizer)
    old: Sequence[Example] = ()
    if config.rehearsal.share:
        old = old_examples(
            config.rehearsal, model, prompt_format=config.prompt_format, context_tokens=config.context_tokens
        )
    source = examples_source(config, examples, model.tokenizer, here, old=old)
    first = source()
    if isinstance(first, MixedExamplesSource):
        return Reading(source=source, batches_in_pass=batches_in_pass(first), passes=first.passes_after)
    return Reading(source=source, batches_in_pass=batches_in_pass(first))


def _private_reading(config: FinetuneConfig, examples: Sequence[Example], tokenizer: Tokenizer) -> Reading:
    """Every example has the same chance to be in a batch, which is what the guarantee is worked out from."""
    if config.rehearsal.share:
        raise ConfigError(
            "what is rehearsed would be counted among the examples that are kept private",
            received=f"rehearsal.share {config.rehearsal.share} with privacy",
            fix="leave one of them out",
        )
    if config.mixing != MixingConfig():
        raise ConfigError(
            "private training reads every example equally often, and mixing reads some more often than others",
            received="settings of mixing with privacy",
            fix="leave one of them out",
        )
    source = private_source(
        examples,
        vocabulary_size=tokenizer.vocabulary_size,
        context_tokens=config.context_tokens,
        rows=config.rows,
    )
    made = privacy_of(config.privacy, examples=len(examples), rows=config.rows)
    return Reading(source=source, batches_in_pass=source().batches_per_epoch, privacy=made)


def examples_source(
    config: FinetuneConfig,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    here: processes.Place,
    *,
    old: Sequence[Example] = (),
) -> Callable[[], ExamplesSource | MixedExamplesSource]:
    """What makes this process's source of batches, mixed as the recipe says and with ``old`` ones rehearsed; examples
    that are too long are treated as it says."""
    return functools.partial(
        mixed_source,
        fitted(examples, config.context_tokens, config.too_long).examples,
        config.mixing,
        Batching(
            vocabulary_size=tokenizer.vocabulary_size,
            context_tokens=config.context_tokens,
            rows=config.rows,
            seed=config.seed,
            rank=here.rank,
            world=here.world,
        ),
        old=old,
        old_share=config.rehearsal.share,
    )


def validation_batches(config: FinetuneConfig, examples: Sequence[Example], tokenizer: Tokenizer) -> list[CausalBatch]:
    """Every example that fits, once: rows taken one at a time make one pass of whole batches."""
    short = [example for example in examples if len(example.ids) - 1 <= config.context_tokens]
    if not short:
        return []
    source = ExamplesSource(
        short, vocabulary_size=tokenizer.vocabulary_size, context_tokens=config.context_tokens, rows=1
    )
    return [next(source) for _ in range(round(source.batches_per_epoch))]


def read_pairs(path: pathlib.Path) -> list[tuple[str, str]]:
    """(prompt, completion) of each line of a .jsonl file. Raises `DataError` with the line that cannot be used."""
    return [(record.prompt, record.completion) for record in read_records(path)]


def encode_example(
    tokenizer: Tokenizer, prompt: str, completion: str, *, prompt_format: PromptFormat
) -> tuple[list[int], list[int]]:
    """(prompt ids, completion ids), the latter without the end token that follows them."""
    record = Record(form="pair", prompt=prompt, completion=completion)
    example = encode_record(tokenizer, record, prompt_format=prompt_format, answers="last")
    begin = list(example.trained).index(True)
    return list(example.ids[:begin]), list(example.ids[begin:-1])
