"""Full fine-tuning: a finished model trained further on prompts with their completions.

    run = finetune(FinetuneConfig(model=Path("runs/pretrain"), data=Path("pairs.jsonl")))

A line of the data is `{"prompt": "...", "completion": "..."}`. The loss is on the completion and its end token.
Prompts are encoded here exactly as they are when the model is used: as a chat turn, or as they stand.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Literal

from trivium.data.batches import CausalBatch
from trivium.data.documents import read_text
from trivium.data.sampler import BatchSource, ExamplesSource
from trivium.data.splits import is_held_out
from trivium.errors import DataError, Unsupported
from trivium.generation.decode import context_limit
from trivium.lm.chat import chat_prompt
from trivium.lm.load import load
from trivium.lm.local import LocalModel
from trivium.recipes.training import (
    Job,
    TrainingConfig,
    begin,
    check_request,
    evenly,
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
_PASSES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """Trains a finished model further on prompts with their completions."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it."""
    data: pathlib.Path
    """A .jsonl file; each line has "prompt" and "completion"."""
    validation: pathlib.Path | None = None
    """A file like `data` to measure on; null to hold out one prompt in twenty."""
    prompt_format: Literal["chat", "plain"] = "chat"
    """chat: the prompt is what a user says and the completion the answer; plain: the prompt as it stands."""
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


Ids = tuple[list[int], list[int]]


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
        training, held_out = _pairs(config)
        examples = [encode_example(tokenizer, *pair, prompt_format=config.prompt_format) for pair in training]
        measured = [encode_example(tokenizer, *pair, prompt_format=config.prompt_format) for pair in held_out]
        source = _source(config, examples, tokenizer, here)
        job = Job(
            model=model.network,
            tokenizer=tokenizer,
            source=source,
            validation=evenly(_validation(config, measured, tokenizer, here), config.training.evaluation_tokens),
            metadata={"objective": "causal, on completions", "parent": str(config.model), "examples": len(examples)},
        )
        passes = max(2, round(_PASSES * source().batches_per_epoch))
        return train(config, job, title="fine-tuning", default_steps=passes)


def read_pairs(path: pathlib.Path) -> list[tuple[str, str]]:
    """(prompt, completion) of each line of a .jsonl file. Raises `DataError` with the line that cannot be used."""
    pairs = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise _bad_line(path, number, "not JSON") from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in brackets
            raise _bad_line(path, number, "a number too long or brackets too deep to read") from error
        if not isinstance(record, dict) or any(not isinstance(record.get(k), str) for k in ("prompt", "completion")):
            raise _bad_line(path, number, "no texts `prompt` and `completion`")
        if not record["completion"]:
            raise _bad_line(path, number, "an empty completion")
        pairs.append((record["prompt"], record["completion"]))
    return pairs


def encode_example(tokenizer: Tokenizer, prompt: str, completion: str, *, prompt_format: str) -> Ids:
    """(prompt ids, completion ids), the latter without the end token that follows them."""
    if prompt_format == "plain":
        # A text without its beginning could not be trained on where the prompt is empty.
        before = tokenizer.prefix_ids + tokenizer.encode(prompt)
        return before or [i for i in (tokenizer.bos_id,) if i is not None], tokenizer.encode(completion)
    before, _ = chat_prompt(tokenizer, [{"role": "user", "content": prompt}])
    return before, tokenizer.encode(completion)


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


def _pairs(config: FinetuneConfig) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(to train on, to measure on)."""
    pairs = read_pairs(config.data)
    if config.validation is not None:
        return pairs, read_pairs(config.validation)
    held_out = [pair for pair in pairs if is_held_out(pair[0], _HELD_OUT)]
    return [pair for pair in pairs if not is_held_out(pair[0], _HELD_OUT)], held_out


def _source(
    config: FinetuneConfig, examples: Sequence[Ids], tokenizer: Tokenizer, here: processes.Place
) -> Callable[[], BatchSource[CausalBatch]]:
    def source() -> BatchSource[CausalBatch]:
        return ExamplesSource(
            examples,
            eos_id=_end(tokenizer),
            vocabulary_size=tokenizer.vocabulary_size,
            context_tokens=config.context_tokens,
            rows=config.rows,
            seed=config.seed,
            drop_long=True,
            rank=here.rank,
            world=here.world,
        )

    return source


def _validation(
    config: FinetuneConfig, examples: Sequence[Ids], tokenizer: Tokenizer, here: processes.Place
) -> list[CausalBatch]:
    """Every example once: rows taken one at a time make one pass of whole batches."""
    if not examples:
        return []
    source = ExamplesSource(
        examples,
        eos_id=_end(tokenizer),
        vocabulary_size=tokenizer.vocabulary_size,
        context_tokens=config.context_tokens,
        rows=1,
        drop_long=True,
    )
    return [next(source) for _ in range(round(source.batches_per_epoch))][here.rank :: here.world]


def _end(tokenizer: Tokenizer) -> int:
    assert tokenizer.eos_id is not None, "refused before"
    return tokenizer.eos_id


def _bad_line(path: pathlib.Path, number: int, reason: str) -> DataError:
    return DataError(
        "a line of the examples cannot be used",
        received=f"{path}, line {number}: {reason}",
        expected='{"prompt": "...", "completion": "..."}',
        fix="correct or remove the line",
    )
