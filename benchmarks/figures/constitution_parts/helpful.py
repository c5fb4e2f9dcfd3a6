"""What the model of benchmarks/figures/constitution.py is asked, and the model itself: made here, from nothing.

HH-RLHF's harmless-base test set is parted by what the user says first. The first conversations of one question and one
answer give the prompts; of all the others the chosen dialogues are what the model learns to converse from. It is
pre-trained on these dialogues and on instructions, conversations and web pages beside them, dialogues written as the
critic's requests are ("User: ...", an empty line, "Assistant: ..."), and tuned on the dialogues and the instructions.
Some of these sets may not be passed on; the model is for this figure alone.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recipe_parts import material

from trivium.data.preferences.judged import Judged
from trivium.data.preferences.read import read_judged
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.prepare import prepare
from trivium.recipes.prepare_config import PrepareConfig, WorkConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, pretrain
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig

_REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent.parent
_SHARED = pathlib.Path(os.environ.get("TRIVIUM_SHARED", _REPOSITORY.parent / "shared" / "data"))
_PROMPT_CHARACTERS = 200
CONTEXT_TOKENS = 512
"""As many as the longest request of the critic has with one worked example."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything; the smoke test has little."""

    folder: str
    """In runs/."""
    prompts: int
    """Of which a quarter is held out."""
    pretrain_minutes: float | None
    """Of the base; None for two updates."""
    steps: int | None
    """Updates of every training after that; None for those that each has by itself."""
    least_mass: float
    """Of the judge's "(A)" and "(B)"; two updates teach it neither."""


# What is asked --------------------------------------------------------------------------------------------------------


@functools.cache
def _people() -> Sequence[Judged]:
    """What people compared: the chosen answer is the first of two."""
    return read_judged(_SHARED / "hh_rlhf" / "harmless-base-test.jsonl.gz")


def asked(sizes: Sizes) -> list[Judged]:
    """The first conversations of one short question and one answer, each question once."""
    short = {each.asked: each for each in reversed(_people()) if len(each.messages) == 1}
    first = [each for each in reversed(short.values()) if len(each.asked) <= _PROMPT_CHARACTERS]
    return first[: sizes.prompts]


def others(sizes: Sizes) -> list[Judged]:
    """The conversations that begin with another question than those that are asked."""
    questions = {each.asked for each in asked(sizes)}
    return [each for each in _people() if each.asked not in questions]


# The model ------------------------------------------------------------------------------------------------------------


def _instructions() -> Iterator[list[Mapping[str, Any]]]:
    """A question with its answer each."""
    with material.conversations()[0].open(encoding="utf-8") as lines:
        for one in map(json.loads, lines):
            if "messages" in one:
                yield one["messages"]
            else:
                yield _turns(one["instruction"], one.get("input", ""), one["output"])
    for one in json.loads((_SHARED / "nc-alpaca-demo" / "alpaca_en_demo.json").read_text(encoding="utf-8")):
        yield _turns(one["instruction"], one["input"], one["output"])


def _turns(instruction: str, given: str, answer: str) -> list[Mapping[str, Any]]:
    said = f"{instruction}\n\n{given}" if given else instruction
    return [{"role": "user", "content": said}, {"role": "assistant", "content": answer}]


def _conversations(sizes: Sizes) -> list[list[Mapping[str, Any]]]:
    chosen = ([*each.messages, {"role": "assistant", "content": each.answers[0]}] for each in others(sizes))
    found = [*chosen, *_instructions()]
    return [turns for turns in found if all(turn["content"].strip() for turn in turns)]


def _text(turns: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content'].strip()}" for turn in turns)


def _prepared(folder: pathlib.Path, sizes: Sizes) -> pathlib.Path:
    """What the base is pre-trained on."""
    prepared = folder / "text"
    if not (prepared / "manifest.json").is_file():
        spoken = folder / "dialogues.jsonl"
        lines = [json.dumps({"text": _text(turns)}) + "\n" for turns in _conversations(sizes)]
        spoken.write_text("".join(lines), encoding="utf-8")
        prepare(
            PrepareConfig(
                sources=(
                    str(spoken),
                    *(str(_SHARED / "web_text" / name) for name in ("c4_demo.jsonl", "wiki_demo.txt")),
                ),
                vocabulary_size=4096,
                validation_fraction=0.02,
                output=prepared,
                work=WorkConfig(processes=1),
            )
        )
    return prepared


def helpful(sizes: Sizes, runs: pathlib.Path) -> pathlib.Path:
    """The run of the model that answers; what is left of its training is done."""
    folder = runs / sizes.folder
    folder.mkdir(parents=True, exist_ok=True)
    base, tuned = folder / "base", folder / "helpful"
    if not (base / "report.html").is_file():
        pretrain(
            PretrainConfig(
                data=_prepared(folder, sizes),
                output=folder,
                run=base.name,
                resume=(base / "config.yaml").is_file(),
                model=ModelConfig(architecture="llama", width=192, layers=4, heads=6),
                batch=BatchConfig(rows=4, context_tokens=CONTEXT_TOKENS),
                steps=2 if sizes.pretrain_minutes is None else None,
                minutes=sizes.pretrain_minutes,
                optimiser=OptimiserConfig(kind="muon", learning_rate=4e-3, muon_learning_rate=0.01),
                training=TrainingConfig(evaluation_tokens=20_000, evaluate_every_steps=300, checkpoint_every_steps=300),
            )
        )
    if not (tuned / "report.html").is_file():
        data = folder / "conversations.jsonl"
        lines = [json.dumps({"messages": turns}) + "\n" for turns in _conversations(sizes)]
        data.write_text("".join(lines), encoding="utf-8")
        finetune(
            FinetuneConfig(
                model=base,
                data=data,
                answers="all",
                rows=4,
                context_tokens=CONTEXT_TOKENS,
                steps=sizes.steps or 200,
                output=folder,
                run=tuned.name,
                resume=(tuned / "config.yaml").is_file(),
                forgetting=ForgettingConfig(measure=False),
            )
        )
    return tuned
