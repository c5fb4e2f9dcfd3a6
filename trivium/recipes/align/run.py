"""`trivium.align(config)`: the recipe that the configuration belongs to."""

from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.recipe import constitution
from trivium.recipes.align.dpo import dpo
from trivium.recipes.align.dpo_config import DPOConfig
from trivium.recipes.align.policy import policy
from trivium.recipes.align.policy_config import PolicyRecipeConfig
from trivium.recipes.align.reward import reward
from trivium.recipes.align.reward_config import RewardConfig
from trivium.training.run import Run

AlignConfig = RewardConfig | DPOConfig | PolicyRecipeConfig | ConstitutionConfig
"""How a model may be aligned."""


def align(config: AlignConfig) -> Run:
    """Carries out the recipe that ``config`` describes; see there for what is raised."""
    match config:
        case RewardConfig():
            return reward(config)
        case DPOConfig():
            return dpo(config)
        case PolicyRecipeConfig():
            return policy(config)
        case ConstitutionConfig():
            return constitution(config)
