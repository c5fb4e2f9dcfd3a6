"""How a policy learns from its rollouts: advantages, penalty, passes. The published methods are settings of these."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor

from trivium.errors import ConfigError
from trivium.objectives.advantages import batch_relative, group_relative, leave_one_out
from trivium.objectives.kl import k1, k2, k3
from trivium.objectives.ppo import PPOConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig

Estimator = Literal["k1", "k2", "k3"]
ESTIMATORS: Mapping[Estimator, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PenaltyConfig:
    """What it costs to leave the reference."""

    weight: float = 0.05
    """Cost per nat of divergence from the reference; 0 for none, which is then only measured."""
    target: float | None = None
    """Divergence of a text, in nats, that the weight is adapted to hold; null for a fixed weight."""
    horizon: float = 10_000
    """Texts in which the adapted weight may double."""
    estimator: Estimator = "k1"
    """k1, k2 or k3, of each token (Schulman 2020)."""
    place: Literal["reward", "loss"] = "reward"
    """reward: taken off the reward of each token (Ziegler et al. 2019); loss: added to the loss (GRPO), where only k2
    has the gradient of the divergence."""

    def __post_init__(self) -> None:
        if self.weight < 0 or (self.target is not None and not self.target > 0) or not self.horizon > 0:
            raise ConfigError(
                "weight is not negative, target and horizon are above 0",
                received=(self.weight, self.target, self.horizon),
            )
        if self.place == "loss" and self.estimator == "k1":
            raise ConfigError(
                "k1 in the loss has no gradient on average",
                received="estimator k1, place loss",
                expected="k2 or k3 in the loss, any in the reward",
                fix="set place to reward, or estimator to k2",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdvantageConfig:
    """What a text's tokens are compared with."""

    kind: Literal["gae", "group", "leave-one-out", "batch"] = "gae"
    """gae: a critic's expectation at every token (PPO). group: the other answers to the prompt, mean and deviation
    (GRPO). leave-one-out: the mean of the other answers (RLOO). batch: the mean of all texts (REINFORCE)."""
    discount: float = 1.0
    """Worth of a reward one token later (gamma), of gae."""
    trace: float = 0.95
    """Between one-step estimates (0) and whole returns (1) (lambda), of gae."""
    by_deviation: bool = True
    """Divide by the deviation of the group; without it as Dr. GRPO."""
    whiten: bool | None = None
    """Mean 0 and variance 1 over all tokens of the batch; null: with gae, and not else."""
    whiten_rewards: bool = False
    """Variance 1 of the rewards of all tokens, their mean kept."""

    def __post_init__(self) -> None:
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a fraction", received=getattr(self, name), expected="0 to 1")

    @property
    def whitened(self) -> bool:
        """Whether advantages are."""
        return self.kind == "gae" if self.whiten is None else self.whiten

    @property
    def compares(self) -> bool:
        """Whether a prompt needs several answers."""
        return self.kind in ("group", "leave-one-out")


def per_text(config: AdvantageConfig, rewards: Float[Tensor, "B"], groups: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The advantage of each text, of the kinds that have no critic."""
    if config.kind == "group":
        return group_relative(rewards, groups, by_deviation=config.by_deviation)
    if config.kind == "leave-one-out":
        return leave_one_out(rewards, groups)
    assert config.kind == "batch", config.kind
    return batch_relative(rewards)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """How a policy learns from its rollouts."""

    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-5, weight_decay=0.0)
    )
    """Of the policy and its critic together."""
    schedule: ScheduleConfig = dataclasses.field(
        default_factory=lambda: ScheduleConfig(kind="constant", warmup_steps=0)
    )
    """How the rate goes with the number of rollout batches."""
    ppo: PPOConfig = dataclasses.field(default_factory=PPOConfig)
    """Clips, weights and the mean of the loss."""
    advantages: AdvantageConfig = dataclasses.field(default_factory=AdvantageConfig)
    """What a text's tokens are compared with."""
    penalty: PenaltyConfig = dataclasses.field(default_factory=PenaltyConfig)
    """What it costs to leave the reference."""
    epochs: int = 4
    """Passes over each rollout batch; the rows are shuffled from the second on."""
    mini_batches: int = 1
    """Updates in each pass."""
    micro_batches: int = 1
    """Parts that a mini-batch is computed in: less memory, the same update."""
    clip_norm: float | None = 1.0
    """Longest gradient that is applied as it is; null for no limit."""
    temperature: float = 1.0
    """Temperature that the texts were sampled at: every log-probability, old, new and the reference's, is of that
    distribution."""
    skips_in_a_row: int = 10
    """Updates that may be skipped one after the other because the loss or a gradient is not finite."""

    def __post_init__(self) -> None:
        for name in ("epochs", "mini_batches", "micro_batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        if not self.temperature > 0:
            raise ConfigError(
                "a policy learns from what it samples",
                received=f"temperature {self.temperature}",
                expected="above 0",
            )

    @property
    def has_critic(self) -> bool:
        """Whether a critic is trained beside the policy."""
        return self.advantages.kind == "gae"


METHODS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {},
    "grpo": {
        "advantages": {"kind": "group"},
        "ppo": {"average": "texts"},
        "penalty": {"weight": 0.04, "estimator": "k3", "place": "loss"},
        "epochs": 1,
    },
    "rloo": {"advantages": {"kind": "leave-one-out"}, "epochs": 1},
    "reinforce": {"advantages": {"kind": "batch"}, "epochs": 1},
}
"""What each method sets, as published: Ouyang et al. 2022; Shao et al. 2024, section 4.1; Ahmadian et al. 2024;
Williams 1992. Everything else is what `PolicyConfig` has."""


def method_config(method: str, **changes: Any) -> PolicyConfig:
    """The settings of a published method; ``changes`` are fields of `PolicyConfig` in place of its own.

    Raises `ConfigError` for a method that there is not.
    """
    if method not in METHODS:
        raise ConfigError("there is no such method", received=method, expected=", ".join(METHODS))
    made = PolicyConfig()
    for name, value in METHODS[method].items():
        part = getattr(made, name)
        new = dataclasses.replace(part, **value) if isinstance(value, Mapping) else value
        made = dataclasses.replace(made, **{name: new})
    return dataclasses.replace(made, **changes)
