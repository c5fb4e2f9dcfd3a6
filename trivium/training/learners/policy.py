"""Reinforcement learning on texts that the policy wrote: PPO with a critic on the policy's own hidden states.

Rollouts arrive as batches; `PolicyLearner.rollout` makes one of texts and rewards. Dropout is off throughout, so that
before the first update the policy gives its own tokens exactly the probability it sampled them with (trl #454).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import RolloutBatch
from trivium.errors import ConfigError, DataError
from trivium.nn.value_head import ValueHead
from trivium.objectives.advantages import gae, normalised
from trivium.objectives.kl import AdaptiveCoefficient, k1, k3
from trivium.objectives.loss import Loss
from trivium.objectives.ppo import PPOBatch, PPOConfig, choices, contexts, ppo
from trivium.runtime.processes import sum_over_processes
from trivium.training import parallel
from trivium.training.gradients import Gradient
from trivium.training.learners.updates import Updates, below, load_module, own_tensors
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig, schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """How a policy learns from its rollouts."""

    optimiser: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-5, weight_decay=0.0)
    )
    """Of the policy and its critic together."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(kind="constant"))
    """How the rate goes with the number of rollout batches."""
    ppo: PPOConfig = dataclasses.field(default_factory=PPOConfig)
    """Clips and weights of the loss."""
    epochs: int = 4
    """Passes over each rollout batch; the rows are shuffled from the second on."""
    mini_batches: int = 1
    """Updates in each pass."""
    micro_batches: int = 1
    """Parts that a mini-batch is computed in: less memory, the same update."""
    clip_norm: float | None = 1.0
    """Longest gradient that is applied as it is; null for no limit."""
    discount: float = 1.0
    """Worth of a reward one token later (gamma)."""
    trace: float = 0.95
    """Between one-step estimates (0) and whole returns (1) (lambda)."""
    kl_weight: float = 0.05
    """Penalty per nat of divergence from the reference, taken off each token's reward."""
    kl_target: float | None = None
    """Divergence per text, in nats, that the penalty is adapted to hold; null for a fixed penalty."""
    skips_in_a_row: int = 10
    """Updates that may be skipped one after the other because the loss or a gradient is not finite."""

    def __post_init__(self) -> None:
        for name in ("epochs", "mini_batches", "micro_batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a fraction", received=getattr(self, name), expected="0 to 1")
        if self.kl_weight < 0 or (self.kl_target is not None and not self.kl_target > 0):
            raise ConfigError("kl_weight and kl_target are not negative", received=(self.kl_weight, self.kl_target))


class ActorCritic(nn.Module):
    """The two that are trained together; `blocks` are the policy's."""

    def __init__(self, policy: nn.Module, critic: nn.Module) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic

    @property
    def blocks(self) -> nn.Module:
        """As of any model: Muon takes the matrices inside."""
        return self.policy.get_submodule("blocks")


class PolicyLearner:
    """PPO. See `trivium.training.learners.protocol.Learner` for the methods."""

    def __init__(
        self, model: nn.Module, config: PolicyConfig, *, steps: int, reference: nn.Module | None = None
    ) -> None:
        """`steps` is the number of rollout batches. `reference` is the frozen model to stay near; it is not saved with
        the learner, and without one there is no KL penalty."""
        self.model, self._config = model, config
        like = next(model.parameters())
        shape: Any = model.config
        critic = ValueHead(shape.width).to(device=like.device, dtype=like.dtype)
        self._both = ActorCritic(model, critic)
        self._reference = None if reference is None else reference.eval().requires_grad_(False)
        self._device = like.device
        self._factor = schedule(config.schedule, steps)
        self._updates = Updates(
            self._both,
            config.optimiser,
            clip_norm=config.clip_norm,
            skips_in_a_row=config.skips_in_a_row,
            name="policy",
        )
        self._kl = AdaptiveCoefficient(config.kl_weight, config.kl_target)
        self._steps = 0

    @torch.no_grad()
    def rollout(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, "B"],
        prompt_lengths: Int[Tensor, "B"],
        rewards: Float[Tensor, "B"],
    ) -> RolloutBatch:
        """The batch of texts that the *present* policy has just sampled, each with one reward at its last token.

        Probabilities and values are computed in the very parts of the first pass, so that its ratios are exactly 1.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        mask = (positions >= prompt_lengths[:, None]) & (positions < lengths[:, None])
        blank = torch.zeros(tokens.shape, dtype=next(self.model.parameters()).dtype, device=tokens.device)
        placed = blank.clone()
        placed[torch.arange(len(lengths)), lengths - 1] = rewards.to(placed.dtype)
        bare = RolloutBatch(tokens, lengths, prompt_lengths, blank, blank, placed, mask).to(self._device)
        log_probs, values = blank.clone().to(self._device), blank.clone().to(self._device)
        self.model.eval()
        for rows, part in self._parts(bare):
            seen = choices(self.model, self._both.critic, part.tokens, part.lengths, part.mask)
            log_probs[rows][part.mask], values[rows][part.mask] = seen.log_probs, seen.values
        return dataclasses.replace(bare, log_probs=log_probs, values=values)

    def step(self, batch: RolloutBatch) -> dict[str, float]:
        """Several passes over this process's share of the rollouts, `mini_batches` updates each."""
        self.model.eval()
        batch = batch.to(self._device)
        prepared, measured = self._prepared(batch)
        factor, config = self._factor(self._steps), self._config
        results: list[Gradient] = []
        for epoch in range(config.epochs):
            order = torch.arange(batch.rows) if epoch == 0 else torch.randperm(batch.rows)
            parts = _rows(prepared, order.to(self._device)).split(config.mini_batches)
            results += [self._updates.apply(self._losses(part), factor) for part in parts]
        self._steps += 1
        finite = all(result.finite for result in results)
        if self._reference is not None and finite:
            self._kl.update(measured["kl"])
        count = sum(result.count for result in results)
        names = ("policy_loss", "value_loss", "clipped", "entropy")
        means = {
            name: sum(r.metrics[name] * r.count for r in results) / count
            for name in names
            if name in results[0].metrics
        }
        return {
            "loss": sum(result.loss * result.count for result in results) / count,
            "tokens": count / config.epochs,
            "learning_rate": self._updates.learning_rate,
            "gradient_norm": sum(result.norm for result in results) / len(results),
            "skipped": 0.0 if finite else 1.0,
            "first_ratio_deviation": results[0].metrics["ratio_deviation"],
            **means,
            **measured,
        }

    def _losses(self, batch: PPOBatch) -> Iterator[Loss]:
        for part in batch.split(self._config.micro_batches):
            yield ppo(self.model, self._both.critic, part, self._config.ppo)

    def _parts(self, batch: RolloutBatch) -> Iterator[tuple[slice, RolloutBatch]]:
        """The parts in which the first pass computes `batch`, and their rows."""
        first = 0
        for mini in batch.split(self._config.mini_batches):
            for part in mini.split(self._config.micro_batches):
                yield slice(first, first + part.rows), part
                first += part.rows

    @torch.no_grad()
    def _prepared(self, batch: RolloutBatch) -> tuple[PPOBatch, dict[str, float]]:
        """Advantages and returns under the penalised reward (Ziegler et al. 2019, eq. 2), and what was measured."""
        if bool(batch.rewards[~batch.mask].any()):
            raise DataError(
                "a reward stands at a token that the policy did not choose, where it would be lost",
                expected="rewards inside the completions, as a rule at the last token",
            )
        config, rewards = self._config, batch.rewards
        sums = {"reward": rewards.sum()}
        if self._reference is not None:
            reference = torch.zeros_like(rewards)
            for rows, part in self._parts(batch):
                hidden, chosen = contexts(self._reference, part.tokens, part.lengths, part.mask)
                reference[rows][part.mask] = self._reference.head.log_prob(hidden, chosen)
            divergence = torch.where(batch.mask, k1(batch.log_probs, reference), 0.0)
            rewards = rewards - self._kl.value * divergence
            sums["kl"] = divergence.sum()
            sums["kl_k3"] = torch.where(batch.mask, k3(batch.log_probs, reference), 0.0).sum()
        numbers = torch.stack([*sums.values(), rewards.new_tensor(batch.rows)]).double()
        *totals, texts = sum_over_processes(numbers).tolist()
        measured = {name: total / texts for name, total in zip(sums, totals, strict=True)}
        if self._reference is not None:
            measured["kl_weight"] = self._kl.value
        advantages, returns = gae(rewards, batch.values, batch.mask, discount=config.discount, trace=config.trace)
        advantages = normalised(advantages, batch.mask)
        prepared = PPOBatch(batch.tokens, batch.lengths, batch.mask, batch.log_probs, batch.values, advantages, returns)
        return prepared, measured

    @torch.no_grad()
    def evaluate(self, batch: RolloutBatch) -> tuple[float, float]:
        """Sum of the PPO loss over the rollouts, and the number of chosen tokens."""
        self.model.eval()
        prepared, _ = self._prepared(batch.to(self._device))
        loss = ppo(self.model, self._both.critic, prepared, self._config.ppo)
        parallel.reshard(self.model)
        return float(loss.total), float(loss.count)

    def heed(self, validation_loss: float) -> None:
        """PPO learns to the end, whatever its loss on the validation rollouts."""

    def weights(self) -> dict[str, Tensor]:
        """The policy's state dict; the critic is not published."""
        return parallel.whole(self.model.state_dict())

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Policy, critic and optimiser moments; the counts and the weight of the KL penalty as JSON."""
        moments, counts = self._updates.state_dict()
        tensors = {f"both/{name}": tensor for name, tensor in own_tensors(self._both).items()}
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        return parallel.whole(tensors), {"steps": self._steps, "kl_weight": self._kl.value, "updates": counts}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        parallel.reshard(self.model)
        load_module(self._both, below("both/", tensors))
        self._updates.load_state_dict(below("optimiser/", tensors), state["updates"])
        self._steps, self._kl.value = state["steps"], state["kl_weight"]


def _rows(batch: PPOBatch, order: Int[Tensor, "B"]) -> PPOBatch:
    """The rows of ``batch`` in another order."""
    fields = dataclasses.fields(batch)
    return PPOBatch(**{field.name: getattr(batch, field.name)[order] for field in fields})
