"""Full fine-tuning: a finished model trained further on conversations, prompts with completions, or instructions.

    run = finetune(FinetuneConfig(model=Path("runs/pretrain"), data=Path("pairs.jsonl")))

A line of the data has one of the forms of `trivium.data.examples_file`. The loss is on what the assistant writes and on
its end token. Prompts are encoded here exactly as they are when the model is used: as a chat turn, or as they stand.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trivium.checkpoints.provenance import parent_facts
from trivium.data.batches import CausalBatch
from trivium.data.examples import Example, ExamplesSource
from trivium.data.examples_file import Record, read_records
from trivium.data.provenance import file_sha256
from trivium.data.splits import is_held_out
from trivium.errors import DataError, Unsupported
from trivium.generation.generation_config import token_ids
from trivium.generation.reading import context_limit
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.examples import Answers, PromptFormat, encode_record
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
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.run import Run
from trivium.training.schedules import ScheduleConfig

_HELD_OUT = 0.05
PASSES = 3
"""Over the examples, where neither steps nor minutes are given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Trains a finished model further on conversations, or on prompts with their completions."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it."""
    data: pathlib.Path
    """A .jsonl file; each line has "messages", "prompt" and "completion", "instruction" and "output", or "text"."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out one prompt in twenty."""
    prompt_format: PromptFormat = "chat"
    """chat: the prompt is what a user says and the completion the answer; plain: the prompt as it stands."""
    answers: Answers = "last"
    """Which answers of a conversation to train on: the last, or all; the others are read only."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "finetune"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    rows: int = 8
    """Rows of a batch, of all processes together; short examples share a row without seeing each other."""
    context_tokens: int = 256
    """Tokens of a row; longer examples are left out and counted."""
    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-3, weight_decay=0.0)
    )
    """The optimiser; AdamW by default."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="linear", warmup_steps=0))
    """How the learning rate goes with the step."""
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    """How a step is computed, and how often to look and save."""
    steps: int | None = None
    """Updates to do; null for those that fit in `minutes`, or three passes."""
    minutes: float | None = None
    """Time to train for: it becomes a number of steps by measuring a few. With `steps`, a limit."""
    seed: int = 0
    """Of the order of the examples and the dropout."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of the forward and backward pass: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, rows=self.rows, context_tokens=self.context_tokens)


def finetune(config: FinetuneConfig) -> Run:
    """Carries out `config`. The model is in `run.checkpoints / "best"`.

    Raises `UserError` before any training for a model, data or folder that cannot be used; `Interrupted` after SIGINT
    or SIGTERM, once the present step is saved.
    """
    require_free(config)
    with processes.process_group(own_device(config.device)) as here:
        device = begin(config, here)
        model = load(config.model, device=str(device))
        tokenizer = _usable(model, config)
        training, held_out = read_examples(config, tokenizer)
        source = examples_source(config, training, tokenizer, here)
        first = source()
        if here.is_first:
            _tell_dropped(first.dropped, training, config.context_tokens)
        job = Job(
            model=model.network,
            tokenizer=tokenizer,
            source=source,
            validation=measured_on(_validation(config, held_out, tokenizer), config.training),
            generation=_generation(model, training),
            metadata={
                "objective": "causal, on completions",
                **parent_facts(saved_folder(config.model), named=config.model),
                "data": str(config.data),
                "data_fingerprint": file_sha256(config.data),
                "examples": len(training) - first.dropped,
                "examples_too_long": first.dropped,
            },
        )
        passes = max(2, round(PASSES * first.batches_per_epoch))
        run = train(config, job, title="fine-tuning", default_steps=passes)
        write_run_report(run, device)
        return run


def read_examples(config: FinetuneConfig, tokenizer: Tokenizer) -> tuple[list[Example], list[Example]]:
    """(to train on, to measure on), encoded. Raises `DataError` for a line that cannot be used."""

    def encoded(records: Sequence[Record], path: pathlib.Path) -> list[Example]:
        return [_encoded(tokenizer, record, config, path) for record in records]

    records = read_records(config.data)
    if config.validation is not None:
        return encoded(records, config.data), encoded(read_records(config.validation), config.validation)
    training, held_out = [], []
    for record in records:
        (held_out if is_held_out(record.asked, _HELD_OUT) else training).append(record)
    return encoded(training, config.data), encoded(held_out, config.data)


def _encoded(tokenizer: Tokenizer, record: Record, config: FinetuneConfig, path: pathlib.Path) -> Example:
    try:
        return encode_record(tokenizer, record, prompt_format=config.prompt_format, answers=config.answers)
    except DataError as error:
        where = f"{path}, line {record.line}: {error.received}"
        raise DataError(error.what, received=where, expected=error.expected, fix=error.fix) from error


def examples_source(
    config: FinetuneConfig, examples: Sequence[Example], tokenizer: Tokenizer, here: processes.Place
) -> Callable[[], ExamplesSource]:
    """What makes this process's source of batches; examples that are too long are left out and counted."""

    def source() -> ExamplesSource:
        return ExamplesSource(
            examples,
            vocabulary_size=tokenizer.vocabulary_size,
            context_tokens=config.context_tokens,
            rows=config.rows,
            seed=config.seed,
            drop_long=True,
            rank=here.rank,
            world=here.world,
        )

    return source


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


def _usable(model: LocalModel, config: FinetuneConfig) -> Tokenizer:
    """The model's tokenizer, where it has all that this training needs."""
    if "generate" not in model.capabilities or model.architecture.kind not in ("decoder", "recurrent"):
        raise Unsupported(
            "completions are learnt by models that read left to right",
            received=f"{model.architecture.name}, of kind {model.architecture.kind!r}",
            expected="a decoder or a recurrent language model",
        )
    if model.tokenizer is None or model.tokenizer.eos_id is None:
        raise Unsupported(
            "fine-tuning needs a tokenizer with an end token",
            received=f"{config.model}: " + ("no tokenizer" if model.tokenizer is None else "no eos_token"),
            fix="copy the tokenizer's files into the model's folder, and name its eos_token in tokenizer_config.json",
        )
    limit = context_limit(model.network)
    if limit is not None and config.context_tokens > limit:
        raise DataError(
            "the model cannot read rows of this length",
            received=f"context_tokens {config.context_tokens}",
            expected=f"at most {limit}",
            fix=f"set context_tokens to {limit}",
        )
    return model.tokenizer


def _validation(config: FinetuneConfig, examples: Sequence[Example], tokenizer: Tokenizer) -> list[CausalBatch]:
    """Every example that fits, once: rows taken one at a time make one pass of whole batches."""
    fitting = [example for example in examples if len(example.ids) - 1 <= config.context_tokens]
    if not fitting:
        return []
    source = ExamplesSource(
        fitting, vocabulary_size=tokenizer.vocabulary_size, context_tokens=config.context_tokens, rows=1
    )
    return [next(source) for _ in range(round(source.batches_per_epoch))]


def _generation(model: LocalModel, examples: Sequence[Example]) -> Mapping[str, Any]:
    """The base's settings for writing, with the tokens that end the answers just learnt among those that end a text."""
    assert model.tokenizer is not None and model.tokenizer.eos_id is not None, "refused before"
    special = set(model.tokenizer.special_tokens.values())
    known = token_ids(model.generation.get("eos_token_id")) or (model.tokenizer.eos_id,)
    learnt = sorted({example.ids[-1] for example in examples} & special - set(known))
    return {**model.generation, "eos_token_id": [*known, *learnt]} if learnt else dict(model.generation)


def _tell_dropped(dropped: int, examples: Sequence[Example], context_tokens: int) -> None:
    if not dropped:
        return
    longest = max(len(example.ids) - 1 for example in examples)
    print(
        f"{dropped:,} of {len(examples):,} examples are longer than {context_tokens} tokens and are left out; "
        f"context_tokens {longest} would keep them all",
        file=sys.stderr,
    )
