"""What training a policy will need: the prompts are read, the rewards opened, and nothing is written or trained."""

from typing import Any

from trivium.cli.dry_run.network import saved
from trivium.errors import ConfigError
from trivium.recipes.align.policy import DEFAULT_STEPS, learning_of, prompts_of
from trivium.recipes.align.policy_config import PolicyRecipeConfig
from trivium.recipes.align.rewards import reward_of
from trivium.recipes.training import require_free


def learning(config: PolicyRecipeConfig) -> dict[str, Any]:
    """Of `trivium align ppo`, `grpo`, `rloo` and `reinforce`. Raises `UserError` for a model, prompts, a reward or a
    folder that the run would refuse."""
    require_free(config)
    model = saved(config.model, config.device, "float32")
    if model.kind not in ("decoder", "recurrent"):
        raise ConfigError("a policy is a model that writes", received=model.kind, expected="a decoder or recurrent")
    prompts = prompts_of(config)
    for names in (config.reward, config.gold):
        if names:
            reward_of(names, wanted=prompts.wanted, conversations=prompts.conversations)
    answers = config.rollouts.prompts * config.rollouts.answers
    learnt = learning_of(config, model.network)
    return model.facts() | {
        "prompts": f"{len(prompts.training):,} to learn from, {len(prompts.held_out):,} to watch",
        "answers_a_step": answers,
        "tokens_a_step": f"at most {answers * config.max_new_tokens:,} written, each read {learnt.epochs + 2} times",
        "advantages": learnt.advantages.kind,
        "trained": config.trained,
        "learning_rate": learnt.optimiser.learning_rate,
        "steps": config.steps or (DEFAULT_STEPS if config.minutes is None else "as many as fit"),
        "time": "not foretold: most of it is writing, and nobody knows how long answers will be",
    }
