"""What is done with the preferences: training on the pairs themselves, or a preference model and then a policy.

Bai et al. 2022, section 4.2, train a preference model on the judge's labels and the tuned model against it by
reinforcement learning (ppo); dpo, which came later, learns from the same pairs at once. Both go on from the model that
was tuned on revisions.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from trivium.checkpoints.provenance import is_adapter
from trivium.errors import DataError
from trivium.lm.load import saved_folder
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.feedback import JUDGED, PREFERENCE_DATA, preferences
from trivium.recipes.align.constitution.journal import Row
from trivium.recipes.align.constitution.stages import Work, once
from trivium.recipes.align.constitution.supervised import write_data
from trivium.recipes.align.dpo import dpo
from trivium.recipes.align.dpo_config import DPOConfig
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import PPORecipeConfig
from trivium.recipes.align.reward import reward
from trivium.recipes.align.reward_config import RewardConfig
from trivium.training.rollouts import RolloutConfig
from trivium.training.run import Run

PREFERRED, PREFERENCE_MODEL = "preferred", "preference-model"
"""Folders of the runs: of training on preferences, and of the preference model before it."""


def write_preferences(work: Work, judgements: Sequence[Row]) -> None:
    """Writes what the judge preferred, and a copy of what people did where that is given, to be learnt from.

    Raises `DataError` where there is no preference at all and something is to be learnt.
    """
    lines = list(preferences(judgements))
    if not lines and work.config.preferring.method != "none":
        raise DataError(
            "the judge had no preference in any pair, so there is nothing to learn from",
            received=f"{len(judgements):,} pairs",
            fix="look at judgements.jsonl: give another judge, or set preferring.method to none",
        )
    write_data(work.run.folder / PREFERENCE_DATA, lines, work.config.feedback.comparisons, JUDGED)


def preferred(work: Work, start: pathlib.Path) -> Run:
    """The run that makes the model of `start` prefer what the judge prefers."""
    config, folder = work.config, work.run.folder
    if config.preferring.method == "dpo":
        return once(work, PREFERRED, lambda: dpo(_direct(config, folder, start)))
    once(work, PREFERENCE_MODEL, lambda: reward(_preference_model(config, folder)))
    return once(work, PREFERRED, lambda: policy(_policy(config, folder, start)))


def _direct(config: ConstitutionConfig, folder: pathlib.Path, start: pathlib.Path) -> DPOConfig:
    settings = config.preferring
    return DPOConfig(
        model=start,
        data=folder / PREFERENCE_DATA,
        method=None if is_adapter(saved_folder(start)) else settings.train,
        rows=settings.rows,
        **_common(config, folder, PREFERRED),
    )


def _preference_model(config: ConstitutionConfig, folder: pathlib.Path) -> RewardConfig:
    """It begins where the tuned model began, as in the paper."""
    return RewardConfig(
        model=config.start or config.model,
        data=folder / PREFERENCE_DATA,
        method=config.preferring.train,
        rows=config.preferring.rows,
        **_common(config, folder, PREFERENCE_MODEL),
    )


def _policy(config: ConstitutionConfig, folder: pathlib.Path, start: pathlib.Path) -> PPORecipeConfig:
    """The prompts are those of the pairs; an adapter goes on as one."""
    settings = config.preferring
    trained = "lora" if is_adapter(saved_folder(start)) else settings.train
    common = _common(config, folder, PREFERRED)
    del common["context_tokens"]
    return PPORecipeConfig(
        model=start,
        data=folder / PREFERENCE_DATA / f"{JUDGED}.jsonl",
        reward=(str(folder / PREFERENCE_MODEL),),
        trained=trained,
        rollouts=RolloutConfig(prompts=settings.rows),
        max_new_tokens=config.feedback.max_new_tokens,
        **common,
    )


def _common(config: ConstitutionConfig, folder: pathlib.Path, name: str) -> dict[str, Any]:
    """What every training is told; one that was begun goes on."""
    return {
        "output": folder,
        "run": name,
        "resume": (folder / name / "config.yaml").is_file(),
        "prompt_format": config.prompt_format,
        "context_tokens": config.preferring.context_tokens,
        "steps": config.preferring.steps,
        "seed": config.seed,
        "device": config.device,
        "dtype": config.dtype,
    }
