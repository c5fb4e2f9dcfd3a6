"""What `trivium align constitution` will need: prompts and principles are read, models found, and how often each of
them is asked is counted. Nothing is written or trained."""

from typing import Any

from trivium.cli.dry_run.network import saved
from trivium.lm.load import saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.opening import Models
from trivium.recipes.align.constitution.principles import Constitution
from trivium.recipes.align.constitution.recipe import principles_of
from trivium.recipes.align.constitution.stages import Prompts, parted
from trivium.recipes.training import require_free

_ORDERS = 2
"""A judge is asked in both."""


def planning(config: ConstitutionConfig) -> dict[str, Any]:
    """Of `trivium align constitution`. Raises `UserError` for models, prompts, principles or a folder that the run
    would refuse."""
    require_free(config)
    principles = principles_of(config)
    model = saved(config.model, config.device, config.dtype)
    Models(config, model.device, {"critic": None, "judge": None}).check()
    prompts = parted(config, LocalModel(model.network, model.tokenizer()))
    here = "the model itself"
    return model.facts() | {
        "critic": config.critic or here,
        "judge": config.judge or config.critic or here,
        "prompts": f"{len(prompts.trained):,} to learn from, {len(prompts.held_out):,} to measure on, "
        f"{prompts.too_long:,} too long for the model and left out",
        "principles": f"{len(principles.principles)} of {config.constitution}",
        "stages": _stages(config, prompts, principles),
        "written_tokens": _written_tokens(config, prompts),
        "time": "not foretold: most of it is writing, and nobody knows how long answers will be",
    }


def _stages(config: ConstitutionConfig, prompts: Prompts, principles: Constitution) -> dict[str, str]:
    """What is done one after the other, and how much of it."""
    asked, held_out = len(prompts.trained), len(prompts.held_out)
    revising, feedback, preferring = config.revising, config.feedback, config.preferring
    under = min(feedback.principles, len(principles.principles))
    first = asked * revising.answers
    rounds = first * revising.rounds
    found = {
        "answers": f"{first:,}",
        "revisions": f"{rounds:,} critiques, and as many revisions",
        "supervised": f"{config.supervised.method}, of {saved_folder(config.start or config.model)}",
    }
    if feedback.pairs:
        pairs = asked * feedback.pairs
        found["pairs"] = f"{2 * pairs:,} answers"
        found["judgements"] = f"{_ORDERS * pairs * under:,} questions: {under} principles a pair, in both orders"
    if _prefers(config):
        before = "a preference model, then " if preferring.method == "ppo" else ""
        found["preferred"] = f"{before}{preferring.method}, {preferring.train}"
    if held_out:
        models = _models(config)
        questions = _ORDERS * held_out * (models - 1) * under
        found["measured"] = f"{held_out * models:,} answers of {models} models, {questions:,} questions"
    return found


def _written_tokens(config: ConstitutionConfig, prompts: Prompts) -> str:
    """How much may be written at most, beside reasons of the judge and what ppo writes."""
    revising, feedback = config.revising, config.feedback
    asked, held_out = len(prompts.trained), len(prompts.held_out)
    answered = asked * revising.answers + held_out * _models(config)
    answers = answered * revising.max_new_tokens + 2 * asked * feedback.pairs * feedback.max_new_tokens
    rounds = asked * revising.answers * revising.rounds
    critic = rounds * (revising.critique_tokens + revising.max_new_tokens)
    return f"at most {answers:,} in answers, {critic:,} by the critic"


def _models(config: ConstitutionConfig) -> int:
    """That are measured: before, tuned on revisions, and trained on preferences."""
    return 3 if _prefers(config) else 2


def _prefers(config: ConstitutionConfig) -> bool:
    return config.feedback.pairs > 0 and config.preferring.method != "none"
