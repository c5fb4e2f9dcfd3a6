"""Reinforcement learning on texts that the policy wrote: PPO, GRPO, RLOO and REINFORCE are settings of one learner.

Rollouts arrive as batches; `PolicyLearner.rollout` makes one of texts and rewards. Dropout is off throughout, and old
log-probabilities are computed by the training pass in the very parts that the first update computes, so that before it
the ratio to the old policy is exactly 1 (trl #454), and the divergence from a reference that the policy began as is
exactly 0.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.adapters.beginning import prefix_tokens
from trivium.adapters.routing import using
from trivium.data.batches import RolloutBatch
from trivium.errors import DataError, TriviumError, Unsupported
from trivium.nn.value_head import ValueHead
from trivium.objectives.advantages import gae, normalised
from trivium.objectives.kl import AdaptiveCoefficient, k1, k3
from trivium.objectives.loss import Loss
from trivium.objectives.ppo import Penalty, PPOBatch, averaging, contexts, critic_loss, ppo
from trivium.runtime.processes import sum_over_processes
from trivium.training import parallel
from trivium.training.gradients import Gradient
from trivium.training.learners.policy_config import ESTIMATORS, PolicyConfig, per_text
from trivium.training.learners.updates import Updates, below, learnt_tensors, load_tensors
from trivium.training.references import Reference
from trivium.training.schedules import schedule


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
    """See `trivium.training.learners.protocol.Learner` for the methods."""

    def __init__(
        self,
        model: nn.Module,
        config: PolicyConfig,
        *,
        steps: int,
        reference: Reference | None = None,
        begins_as_reference: bool = False,
        longest_answer: int | None = None,
        value_adapter: str | None = None,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        """`steps` is the number of rollout batches.

        `reference` is what to stay near; it is not saved with the learner, and without one there is no penalty. With
        `begins_as_reference` the first divergence must be exactly 0, else `TriviumError`. `longest_answer` is needed
        where the loss is averaged by length. `value_adapter` names an adapter of `model` that the critic reads the
        texts with; without it the critic reads the policy's own hidden states. `factors` are as of `Updates`.
        """
        if prefix_tokens(model):
            raise Unsupported(
                "a policy that begins its texts with a learnt prompt",
                received=f"{prefix_tokens(model)} positions before every text, which the training pass does not read",
                expected="an adapter inside the blocks: a LoRA, (IA)3 or a bottleneck",
            )
        self.model, self._config = model, config
        self._reference, self._begins_as_reference = reference, begins_as_reference
        assert config.ppo.average != "length" or longest_answer is not None, "a mean by length needs the longest one"
        self._longest, self._value_adapter = longest_answer or 0, value_adapter
        like = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
        shape: Any = model.config
        dtype = torch.promote_types(like.dtype, torch.float32)
        self._critic = ValueHead(shape.width).to(device=like.device, dtype=dtype) if config.has_critic else None
        self._both = ActorCritic(model, nn.Identity() if self._critic is None else self._critic)
        self._device = like.device
        self._factor = schedule(config.schedule, steps)
        self._updates = Updates(
            self._both,
            config.optimiser,
            clip_norm=config.clip_norm,
            skips_in_a_row=config.skips_in_a_row,
            name="policy",
            factors={f"policy.{name}": factor for name, factor in (factors or {}).items()},
        )
        penalty = config.penalty
        self._kl = AdaptiveCoefficient(penalty.weight, penalty.target, penalty.horizon)
        self._steps = 0

    # Rollouts --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def rollout(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, "B"],
        prompt_lengths: Int[Tensor, "B"],
        rewards: Float[Tensor, "B"],
        *,
        groups: Int[Tensor, "B"] | None = None,
        sampled: Float[Tensor, "B T"] | None = None,
        told: Mapping[str, float] | None = None,
    ) -> RolloutBatch:
        """The batch of texts that the *present* policy has just sampled, each with one reward at its last token.

        `groups` numbers the prompts from 0, where several texts answer the same; without it each row has its own.
        `sampled` are the log-probabilities that decoding gave the tokens, at temperature 1, to compare with: the
        largest difference is told as `engine_deviation`. `told` is reported with the next step's metrics.
        """
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        mask = (positions >= prompt_lengths[:, None]) & (positions < lengths[:, None])
        _require_answers(mask)
        like = next(parameter for parameter in self.model.parameters() if parameter.is_floating_point())
        blank = torch.zeros(tokens.shape, dtype=torch.promote_types(like.dtype, torch.float32), device=tokens.device)
        placed = blank.clone()
        placed[torch.arange(len(lengths)), lengths - 1] = rewards.to(placed.dtype)
        groups = torch.arange(len(lengths), device=tokens.device) if groups is None else groups
        facts = dict(told or {})
        bare = RolloutBatch(tokens, lengths, prompt_lengths, blank, blank, placed, mask, groups, facts)
        bare = bare.to(self._device)
        log_probs, values = blank.clone().to(self._device), blank.clone().to(self._device)
        self.model.eval()
        for rows, part in self._parts(bare):
            width, temperature = part.tokens.shape[1], self._config.temperature
            with torch.enable_grad():  # by the kernels that the update computes with: decoding has others
                hidden, chosen = contexts(self.model, part.tokens, part.lengths, part.mask)
            found = self.model.head.log_prob(hidden, chosen, temperature=temperature)
            log_probs[rows, :width][part.mask] = found
            if self._critic is not None:
                states = hidden if self._value_adapter is None else self._critic_states(part)
                values[rows, :width][part.mask] = self._values(states)
            if sampled is not None:  # at temperature 1, as decoding tells them
                plain = found if temperature == 1 else self.model.head.log_prob(hidden, chosen)
                off = (plain - sampled[rows, :width].to(plain)[part.mask]).abs().max()
                facts["engine_deviation"] = max(facts.get("engine_deviation", 0.0), float(off))
        return dataclasses.replace(bare, log_probs=log_probs, values=values, told=facts)

    def _values(self, hidden: Float[Tensor, "N D"]) -> Float[Tensor, "N"]:
        """What the critic expects in these states."""
        assert self._critic is not None
        return self._critic(hidden)

    def _critic_states(self, part: RolloutBatch | PPOBatch) -> Float[Tensor, "N D"]:
        """The states of the critic's own adapter, in which the tokens of `part` were chosen."""
        assert self._value_adapter is not None
        with using(self.model, self._value_adapter):
            return contexts(self.model, part.tokens, part.lengths, part.mask)[0]

    @torch.no_grad()
    def divergences(self, batch: RolloutBatch) -> Float[Tensor, "B"]:
        """How far the policy that wrote each text was from the reference on it, in nats: the sum of k1 over its tokens;
        zeros without a reference."""
        reference = self._reference_log_probs(batch)
        if reference is None:
            return torch.zeros(batch.rows, device=self._device)
        return torch.where(batch.mask, k1(batch.log_probs, reference), 0.0).sum(1)

    # Updates ---------------------------------------------------------------------------------------------------------

    def step(self, batch: RolloutBatch) -> dict[str, float]:
        """Several passes over this process's share of the rollouts, `mini_batches` updates each."""
        self.model.eval()
        batch = batch.to(self._device)
        prepared, measured = self._prepared(batch)
        factor, config = self._factor(self._steps), self._config
        results: list[Gradient] = []
        for epoch in range(config.epochs):
            order = torch.arange(batch.rows) if epoch == 0 else torch.randperm(batch.rows)
            parts = prepared.ordered(order.to(self._device)).split(config.mini_batches)
            results += [self._updates.apply(self._losses(part), factor) for part in parts]
        self._steps += 1
        finite = all(result.finite for result in results)
        texts = measured.pop("texts")
        if self._reference is not None and finite:
            self._kl.update(measured["kl"], texts)
        return {
            **_means(results),
            "tokens": measured.pop("tokens"),
            "learning_rate": self._updates.learning_rate,
            "gradient_norm": sum(result.norm for result in results) / len(results),
            "skipped": 0.0 if finite else 1.0,
            "first_ratio_deviation": results[0].metrics["ratio_deviation"],
            **measured,
            **batch.told,
        }

    def _losses(self, batch: PPOBatch) -> Iterator[Loss]:
        config = self._config
        for part in batch.split(config.micro_batches):
            part = part.trimmed()
            shared = self._critic if self._value_adapter is None else None
            yield ppo(
                self.model, shared, part, config.ppo, temperature=config.temperature, penalty=self._penalty_in_loss()
            )
            if self._critic is not None and self._value_adapter is not None:
                # A loss of its own, so that the activations of the two are never there together.
                lost = critic_loss(self._values(self._critic_states(part)), part, config.ppo)
                none = torch.zeros_like(lost)
                yield Loss(total=none, count=none, auxiliary={"value": config.ppo.value_weight * lost})

    def _penalty_in_loss(self) -> Penalty | None:
        penalty = self._config.penalty
        if self._reference is None or penalty.place != "loss":
            return None
        estimate, weight = ESTIMATORS[penalty.estimator], self._kl.value
        return lambda log_probs, reference: weight * estimate(log_probs, reference)

    def _parts(self, batch: RolloutBatch) -> Iterator[tuple[slice, RolloutBatch]]:
        """The parts in which the first pass computes `batch`, and their rows."""
        first = 0
        for mini in batch.split(self._config.mini_batches):
            for part in mini.split(self._config.micro_batches):
                yield slice(first, first + part.rows), part.trimmed()
                first += part.rows

    # Rewards ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _prepared(self, batch: RolloutBatch) -> tuple[PPOBatch, dict[str, float]]:
        """Advantages and returns under the penalised reward (Ziegler et al. 2019, eq. 2), and what was measured."""
        if bool(batch.rewards[~batch.mask].any()):
            raise DataError(
                "a reward stands at a token that the policy did not choose, where it would be lost",
                expected="rewards inside the completions, as a rule at the last token",
            )
        config, rewards, mask = self._config, batch.rewards, batch.mask
        own = torch.where(mask, batch.log_probs, 0.0)
        sums = {"tokens": mask.sum(), "reward": rewards.sum(), "surprise": -own.sum()}
        reference = self._reference_log_probs(batch)
        if reference is not None:
            divergence = torch.where(mask, k1(batch.log_probs, reference), 0.0)
            sums["kl"] = divergence.sum()
            sums["kl_k3"] = torch.where(mask, k3(batch.log_probs, reference), 0.0).sum()
            if config.penalty.place == "reward":
                estimate = ESTIMATORS[config.penalty.estimator](batch.log_probs, reference)
                rewards = rewards - self._kl.value * torch.where(mask, estimate, 0.0)
        advantages, returns = self._advantages(batch, rewards)
        weights, counts = averaging(mask, config.ppo.average, self._longest, batch.log_probs)
        prepared = PPOBatch(
            batch.tokens,
            batch.lengths,
            mask,
            batch.log_probs,
            batch.values,
            advantages,
            returns,
            weights,
            counts,
            reference if config.penalty.place == "loss" else None,
        )
        return prepared, self._measured(sums, batch)

    def _advantages(
        self, batch: RolloutBatch, rewards: Float[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
        """Advantages, and the critic's targets: returns are made before anything is normalised."""
        config, mask = self._config.advantages, batch.mask
        if config.whiten_rewards:
            rewards = normalised(rewards, mask, keep_mean=True)
        if config.kind == "gae":
            advantages, returns = gae(rewards, batch.values, mask, discount=config.discount, trace=config.trace)
        else:
            whole = per_text(config, rewards.sum(1), batch.groups)
            advantages, returns = torch.where(mask, whole[:, None], 0.0), torch.zeros_like(rewards)
        return normalised(advantages, mask) if config.whitened else advantages, returns

    def _reference_log_probs(self, batch: RolloutBatch) -> Float[Tensor, "B T"] | None:
        if self._reference is None:
            return None
        found = torch.zeros_like(batch.log_probs)
        with self._reference() as network:
            for rows, part in self._parts(batch):
                with torch.enable_grad():
                    hidden, chosen = contexts(network, part.tokens, part.lengths, part.mask)
                log_probs = network.head.log_prob(hidden, chosen, temperature=self._config.temperature)
                found[rows, : part.tokens.shape[1]][part.mask] = log_probs
        if self._begins_as_reference and self._steps == 0:
            self._require_same(batch.mask, batch.log_probs, found)
        return found

    def _require_same(self, mask: Bool[Tensor, "B T"], own: Tensor, theirs: Tensor) -> None:
        off = float((own[mask] - theirs[mask]).abs().max())
        if off:
            raise TriviumError(
                f"the policy is not what its reference is, though nothing was trained yet: log-probabilities differ by "
                f"up to {off:.3g}"
            )

    def _measured(self, sums: Mapping[str, Tensor], batch: RolloutBatch) -> dict[str, float]:
        """Over all processes: means of a text, and how many texts and tokens there were."""
        named = {**sums, "texts": torch.tensor(batch.rows, device=self._device)}
        numbers = sum_over_processes(torch.stack([number.double() for number in named.values()])).tolist()
        totals = dict(zip(named, numbers, strict=True))
        texts, tokens = totals.pop("texts"), totals.pop("tokens")
        # Minus the mean log-probability of what was sampled is an unbiased estimate of the policy's entropy.
        entropy = totals.pop("surprise") / tokens
        means = {name: total / texts for name, total in totals.items()}
        means |= {"sampled_entropy": entropy, "answer_tokens": tokens / texts, "texts": texts, "tokens": tokens}
        return means | ({"kl_weight": self._kl.value} if self._reference is not None else {})

    # The rest of a learner -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, batch: RolloutBatch) -> tuple[float, float]:
        """Sum of the loss over the rollouts, and what it is divided by."""
        self.model.eval()
        prepared, _ = self._prepared(batch.to(self._device))
        losses = list(self._losses(prepared))
        parallel.reshard(self.model)
        return float(sum(loss.total for loss in losses)), float(sum(loss.count for loss in losses))

    @property
    def finished(self) -> bool:
        """It learns until it is stopped."""
        return False

    def heed(self, validation_loss: float) -> None:
        """A policy learns to the end, whatever its loss on the validation rollouts."""

    def weights(self) -> dict[str, Tensor]:
        """The policy's state dict; the critic is not published."""
        return parallel.whole(self.model.state_dict())

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is learnt of policy and critic, and optimiser moments; the counts and the penalty's weight as JSON."""
        moments, counts = self._updates.state_dict()
        tensors = {f"both/{name}": tensor for name, tensor in learnt_tensors(self._both).items()}
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        return parallel.whole(tensors), {"steps": self._steps, "kl_weight": self._kl.value, "updates": counts}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        parallel.reshard(self.model)
        load_tensors(learnt_tensors(self._both), below("both/", tensors))
        self._updates.load_state_dict(below("optimiser/", tensors), state["updates"])
        self._steps, self._kl.value = state["steps"], state["kl_weight"]


def _require_answers(mask: Bool[Tensor, "B T"]) -> None:
    empty = (~mask.any(1)).nonzero()[:, 0].tolist()
    if empty:
        raise DataError(
            "an answer has no tokens, so there is nothing to learn from it",
            received=f"rows {', '.join(map(str, empty[:5]))} of {len(mask)}",
            expected="at least the token that ends an answer",
            fix="give texts, to which it is added, or ids that end with it",
        )


def _means(results: list[Gradient]) -> dict[str, float]:
    """Of all updates of a step, each weighted by its count."""
    count = sum(result.count for result in results)
    names = [name for name in results[0].metrics if name != "ratio_deviation"]
    means = {name: sum(result.metrics[name] * result.count for result in results) / count for name in names}
    if "auxiliary/value" in means:
        means["value_loss"] = means.pop("auxiliary/value")
    return {"loss": sum(result.loss * result.count for result in results) / count, **means}
