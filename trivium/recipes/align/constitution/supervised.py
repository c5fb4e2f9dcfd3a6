"""Tuning on the revisions: the prompts with their better answers, and nothing of the critiques (section 3.1)."""

import json
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from trivium.checkpoints.folder import replace_file
from trivium.data.readers import formats
from trivium.errors import DataError
from trivium.lm.turns import PromptFormat
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.training.run import Run

DATA, RUN = "supervised-data", "supervised"
"""In the folder of the run: what is trained on, and the run of `trivium finetune`."""


def examples(
    rows: Sequence[Row], trained: Literal["last", "all"], prompt_format: PromptFormat
) -> Iterator[dict[str, Any]]:
    """A line of training data for each different revision of an answer: its prompt and the revision.

    The examples of one prompt are of one group, so that they are held out together.
    """
    for row in rows:
        seen: set[str] = set()
        for sample in row["samples"]:
            answer = sample["answer"]
            begins = answer[: len(answer) - len(answer.lstrip())]  # as the model itself begins an answer
            revisions = [turn["revision"] for turn in sample["rounds"] if turn["revision"]]
            for revision in revisions[-1:] if trained == "last" else revisions:
                if revision not in seen:
                    seen.add(revision)
                    yield {**_example(row["messages"], begins + revision, prompt_format), "group": str(row["number"])}


def write_data(folder: pathlib.Path, lines: Sequence[dict[str, Any]], others: pathlib.Path | None, name: str) -> None:
    """Lines as a .jsonl file of this name in a folder, and beside it a copy of a file of others', under its own."""
    folder.mkdir(exist_ok=True)
    if others is not None:
        if not others.is_file():
            raise DataError("there is no such file", received=others, fix="check the path")
        shutil.copyfile(others, folder / f"mixed-in{formats.suffix(others.name)}")
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_file(folder / f"{name}.jsonl", text.encode(errors="backslashreplace"))


def tuned(config: ConstitutionConfig, folder: pathlib.Path, rows: Sequence[Row]) -> Run:
    """The run of tuning in `folder`, begun or gone on with. Raises `DataError` where no answer was revised."""
    lines = list(examples(rows, config.revising.trained, config.prompt_format))
    if not lines:
        raise DataError(
            "no answer was revised, so there is nothing to tune on",
            received=f"{len(rows)} prompts",
            fix="look at revisions.jsonl: give another critic, or shorter prompts",
        )
    settings = config.supervised
    write_data(folder / DATA, lines, settings.helpful, "revisions")
    return finetune(
        FinetuneConfig(
            model=config.start or config.model,
            data=folder / DATA,
            output=folder,
            run=RUN,
            resume=(folder / RUN / "config.yaml").is_file(),
            method=settings.method,
            prompt_format=config.prompt_format,
            rows=settings.rows,
            context_tokens=settings.context_tokens,
            steps=settings.steps,
            optimiser=settings.optimiser,
            training=settings.training,
            seed=config.seed,
            device=config.device,
            dtype=config.dtype,
            forgetting=ForgettingConfig(measure=False),  # the page compares what both models answer
        )
    )


def _example(messages: Sequence[Any], answer: str, prompt_format: PromptFormat) -> dict[str, Any]:
    if prompt_format == "plain":
        return {"prompt": messages[-1]["content"], "completion": answer}
    return {"messages": [*messages, {"role": "assistant", "content": answer}]}
