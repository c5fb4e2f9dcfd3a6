"""What `trivium align ppo`, `grpo`, `rloo` and `reinforce` are asked: one recipe, whose defaults each method has."""

import dataclasses
import pathlib
from typing import Any, Literal

from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.errors import ConfigError
from trivium.lm.turns import PromptFormat
from trivium.recipes.align.watch import WatchConfig
from trivium.recipes.training import check_request, require_at_least
from trivium.training.learners.policy_config import PolicyConfig, method_config
from trivium.training.optimisers import OptimiserConfig
from trivium.training.precision import Precision
from trivium.training.rollouts import RolloutConfig

Trained = Literal["lora", "qlora", "full"]


def _learning(method: str) -> PolicyConfig:
    """As published, at the rate that is usual of what is trained."""
    return method_config(method, optimiser=OptimiserConfig(weight_decay=0.0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CadenceConfig:
    """How often to look and save."""

    log_every_steps: int = 1
    """Updates between two lines of metrics.jsonl."""
    look_every_steps: int = 10
    """Updates between two looks at answers to the prompts of the watch."""
    checkpoint_every_steps: int = 10
    """Updates between two checkpoints; one is made at the end too, and whenever the watch saw the best answers."""
    keep_last: int = 1
    """Latest checkpoints that are kept."""
    keep_best: int = 1
    """Checkpoints with the best answers that are kept."""

    def __post_init__(self) -> None:
        named = ("log_every_steps", "look_every_steps", "checkpoint_every_steps", "keep_last", "keep_best")
        require_at_least(1, **{name: getattr(self, name) for name in named})


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyRecipeConfig:
    """Trains a model on answers of its own, by what they are worth."""

    model: pathlib.Path
    """Folder of the model, or of the run that made it; of an adapter, which then goes on."""
    data: pathlib.Path
    """Prompts: a file or folder of examples as `trivium finetune` reads them, whose answers are what verifiers compare
    with, or of such without answers, of preferences, or a .txt with a prompt a line."""
    reward: tuple[str, ...]
    """What answers are worth: folders of reward models, names of verifiers, module:function or file.py:function of
    your own; several with weights, number=1.0 format=0.2."""
    gold: tuple[str, ...] = ()
    """What the answers to held-out prompts are measured by as well and nothing is trained on: where it parts from the
    reward, the run stops and goes back."""
    validation: pathlib.Path | None = None
    """A file like `data` whose prompts are for the watch and for the comparison at the end, and not learnt from where
    they are in both; null to hold out one in ten."""
    trained: Trained = "lora"
    """lora: an adapter, held near the base that it shares; qlora: on the base in 4 bits; full: the whole model, held
    near a frozen copy."""
    lora: LoRAConfig = dataclasses.field(default_factory=lambda: LoRAConfig(targets=ALL_LINEAR))
    """Of lora and qlora, and of the critic where it has an adapter."""
    critic: Literal["head", "adapter"] = "head"
    """Of ppo: a linear layer on the policy's hidden states, or on those of an adapter of its own."""
    learning: PolicyConfig = dataclasses.field(default_factory=lambda: _learning("ppo"))
    """Advantages, penalty, passes and the optimiser; the defaults are the method's as published."""
    rollouts: RolloutConfig = dataclasses.field(default_factory=RolloutConfig)
    """What is written between two updates."""
    max_new_tokens: int = 64
    """Longest answer."""
    prompt_format: PromptFormat = "chat"
    """chat: the prompt is what a user says and the completion the answer; plain: the prompt as it stands."""
    on_fault: Literal["stop", "skip"] = "stop"
    """Where a reward gives no number for an answer: stop, or leave the answer out."""
    watch: WatchConfig = dataclasses.field(default_factory=WatchConfig)
    """How it is noticed that the policy pleases its reward alone."""
    best_of: int = 4
    """Samples a prompt of the model before training, whose best the trained one is compared with; 0 for none."""
    cadence: CadenceConfig = dataclasses.field(default_factory=CadenceConfig)
    """How often to look and save."""
    output: pathlib.Path = pathlib.Path("runs")
    """Folder of all runs."""
    run: str = "policy"
    """Name of this run: its folder in `output`."""
    resume: bool = False
    """Go on with the run that is there."""
    steps: int | None = None
    """Batches of rollouts to learn from; null for those that fit in `minutes`, or 100."""
    minutes: float | None = None
    """Time to train for."""
    seed: int = 0
    """Of the order of the prompts, the answers and the new weights."""
    device: str = "auto"
    """cpu, cuda, cuda:1; auto is a GPU where there is one."""
    dtype: Precision = "float32"
    """Number format of a frozen base: float32, bfloat16, auto."""

    def __post_init__(self) -> None:
        check_request(run=self.run, steps=self.steps, minutes=self.minutes, seed=self.seed)
        require_at_least(1, max_new_tokens=self.max_new_tokens)
        require_at_least(0, best_of=self.best_of)
        if not self.reward:
            raise ConfigError(
                "nothing says what an answer is worth", received="no reward", fix="name one with --reward"
            )
        kind = self.learning.schedule.kind
        if self.steps is None and self.minutes is not None and kind not in ("constant", "inverse_sqrt"):
            raise ConfigError(
                "a rate that falls until the last step needs to know which one that is",
                received=f"schedule.kind {kind}, minutes {self.minutes:g} without steps",
                fix="give steps too, or set schedule.kind to constant",
            )
        if self.learning.advantages.compares and self.rollouts.answers < 2:
            raise ConfigError(
                "answers are compared with others to the same prompt",
                received=f"rollouts.answers {self.rollouts.answers}, advantages.kind {self.learning.advantages.kind}",
                expected="2 answers or more",
            )
        if self.critic == "adapter" and (self.trained == "full" or not self.learning.has_critic):
            raise ConfigError(
                "a critic has an adapter of its own beside a policy that is an adapter",
                received=f"critic adapter, trained {self.trained}, advantages.kind {self.learning.advantages.kind}",
                expected="trained lora or qlora, and advantages of kind gae",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPORecipeConfig(PolicyRecipeConfig):
    """Trains a model on answers of its own by PPO: a critic says what was to be expected."""

    run: str = "ppo"
    """Name of this run: its folder in `output`."""


def _several() -> RolloutConfig:
    return RolloutConfig(prompts=8, answers=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRPORecipeConfig(PolicyRecipeConfig):
    """Trains a model on answers of its own by GRPO: each is compared with the others to its prompt."""

    learning: PolicyConfig = dataclasses.field(default_factory=lambda: _learning("grpo"))
    """Advantages, penalty, passes and the optimiser; the defaults are the method's as published."""
    rollouts: RolloutConfig = dataclasses.field(default_factory=_several)
    """What is written between two updates."""
    run: str = "grpo"
    """Name of this run: its folder in `output`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RLOORecipeConfig(PolicyRecipeConfig):
    """Trains a model on answers of its own by RLOO: each is compared with the mean of the others to its prompt."""

    learning: PolicyConfig = dataclasses.field(default_factory=lambda: _learning("rloo"))
    """Advantages, penalty, passes and the optimiser; the defaults are the method's as published."""
    rollouts: RolloutConfig = dataclasses.field(default_factory=_several)
    """What is written between two updates."""
    run: str = "rloo"
    """Name of this run: its folder in `output`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReinforceRecipeConfig(PolicyRecipeConfig):
    """Trains a model on answers of its own by REINFORCE: each is compared with the mean of all."""

    learning: PolicyConfig = dataclasses.field(default_factory=lambda: _learning("reinforce"))
    """Advantages, penalty, passes and the optimiser; the defaults are the method's as published."""
    run: str = "reinforce"
    """Name of this run: its folder in `output`."""


POLICY_RECIPES: dict[str, type[Any]] = {
    "ppo": PPORecipeConfig,
    "grpo": GRPORecipeConfig,
    "rloo": RLOORecipeConfig,
    "reinforce": ReinforceRecipeConfig,
}
"""By the name of the method."""
