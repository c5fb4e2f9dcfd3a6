"""GRPO with a verifier: sums of two-digit numbers, before and after.

The model learns to add from text in which a carry of the units is forgotten three times in five, and takes over the
mistake: its likeliest answer to such a sum is ten too small. Nobody shows it a right answer afterwards; a verifier
says which of its own are.
"""

import dataclasses
import json
import pathlib
import random

from trivium.evaluation.intervals import Interval, proportion
from trivium.evaluation.verifiers import verifier
from trivium.lm.load import load
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import CadenceConfig, GRPORecipeConfig
from trivium.recipes.align.watch import WatchConfig
from trivium.recipes.finetune import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.language_model import ModelConfig
from trivium.recipes.pretrain import BatchConfig, PretrainConfig, VocabularyConfig, pretrain
from trivium.training.optimisers import OptimiserConfig
from trivium.training.rollouts import RolloutConfig

_SHOWN, _TESTED = 2000, 500
_SAID_EACH = 4  # times that each sum is in the text, each time with a carry or without
_CARELESS = 0.6
_ANSWER_TOKENS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a policy can do before and after, on sums that neither training saw."""

    before: Interval
    """Share of right sums, sampled at temperature 1."""
    after: Interval
    greedy_before: Interval
    """The same of the most probable answers."""
    greedy_after: Interval
    reward: list[float]
    """Share of right answers in each batch of rollouts."""
    seconds: float


def measure(folder: pathlib.Path, seed: int, *, smoke: bool) -> Learnt:
    """A model that was shown `_SHOWN` sums by somebody careless, then GRPO on others."""
    sums = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    random.Random(seed).shuffle(sums)
    place = folder / f"sums-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    shown, tested, tried = sums[:_SHOWN], sums[_SHOWN : _SHOWN + _TESTED], sums[_SHOWN + _TESTED :]
    text, examples = place / "sums.txt", place / "shown.jsonl"
    chance = random.Random(seed + 1)
    said = [(a, b, _said(a, b, chance)) for _ in range(_SAID_EACH) for a, b in shown]
    text.write_text("\n".join(f"{a}+{b}={c}" for a, b, c in said) + "\n", encoding="utf-8")
    _write(examples, said)
    model = ModelConfig(architecture="llama", width=128, layers=3)
    pretrain(
        PretrainConfig(
            data=text,
            output=place,
            run="pretrain",
            model=model,
            vocabulary=VocabularyConfig(kind="character", size=None),
            batch=BatchConfig(rows=16, context_tokens=64),
            steps=2 if smoke else 1200,
            seed=seed,
        )
    )
    start = finetune(
        FinetuneConfig(
            model=place / "pretrain",
            data=examples,
            prompt_format="plain",
            output=place,
            run="shown",
            rows=8,
            context_tokens=64,
            steps=2 if smoke else 400,
            seed=seed,
        )
    )
    _write(place / "tried.jsonl", [(a, b, a + b) for a, b in tried])
    _write(place / "watched.jsonl", [(a, b, a + b) for a, b in tested[:100]])
    run = policy(
        GRPORecipeConfig(
            model=start.folder,
            data=place / "tried.jsonl",
            validation=place / "watched.jsonl",
            reward=("number",),
            trained="full",
            learning=dataclasses.replace(
                GRPORecipeConfig(model=start.folder, data=text, reward=("number",)).learning,
                optimiser=OptimiserConfig(learning_rate=1e-4, weight_decay=0.0),
            ),
            rollouts=RolloutConfig(prompts=32, answers=8, end_penalty=0.0),
            max_new_tokens=_ANSWER_TOKENS,
            prompt_format="plain",
            watch=WatchConfig(prompts=100),
            best_of=0,
            cadence=CadenceConfig(look_every_steps=50, checkpoint_every_steps=50),
            output=place,
            run="policy",
            steps=2 if smoke else 200,
            seed=seed,
        )
    )
    figures = [_right(path, tested, temperature) for temperature in (1.0, 0.0) for path in (start.folder, run.folder)]
    rows = run.metrics()
    return Learnt(
        before=figures[0],
        after=figures[1],
        greedy_before=figures[2],
        greedy_after=figures[3],
        reward=[row["reward"] for row in rows],
        seconds=rows[-1]["seconds"],
    )


def _said(a: int, b: int, chance: random.Random) -> int:
    """The sum, or the one without the carry of its units."""
    carries = a % 10 + b % 10 >= 10
    return a + b - 10 if carries and chance.random() < _CARELESS else a + b


def _write(path: pathlib.Path, sums: list[tuple[int, int, int]]) -> None:
    lines = [json.dumps({"prompt": f"{a}+{b}=", "completion": str(c)}) for a, b, c in sums]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _right(folder: pathlib.Path, sums: list[tuple[int, int]], temperature: float) -> Interval:
    wanted = {f"{a}+{b}=": str(a + b) for a, b in sums}
    answers = load(folder).generate(
        list(wanted), max_new_tokens=_ANSWER_TOKENS, temperature=temperature, seed=None if not temperature else 0
    )
    marks = verifier("number", wanted)(list(wanted), [answer.text for answer in answers])
    return proportion(int(sum(marks)), len(marks))
