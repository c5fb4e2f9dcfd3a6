"""A generator of text against a discriminator of real and generated text: SeqGAN (Yu et al. 2017, algorithm 1)."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch, LabelledBatch
from trivium.errors import ConfigError
from trivium.objectives.causal import causal
from trivium.objectives.classification import classification
from trivium.objectives.loss import Loss
from trivium.objectives.seqgan import GENERATED, REAL, Baseline, seqgan
from trivium.training import parallel
from trivium.training.gradients import Gradient
from trivium.training.learners.rollouts import rollout_rewards, sample
from trivium.training.learners.updates import Updates, below, load_module, own_tensors
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig, schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How generator and discriminator take turns; the defaults are those of the authors' code where it has them."""

    generator: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-2, weight_decay=0.0)
    )
    """Optimiser of the generator."""
    discriminator: OptimiserConfig = dataclasses.field(
        default_factory=lambda: OptimiserConfig(learning_rate=1e-4, weight_decay=0.0)
    )
    """Optimiser of the discriminator."""
    schedule: ScheduleConfig = dataclasses.field(
        default_factory=lambda: ScheduleConfig(kind="constant", warmup_steps=0)
    )
    """How both rates go with the step."""
    generator_updates: int = 1
    """Updates of the generator in each step, every one on fresh samples."""
    discriminator_updates: int = 5
    """Updates of the discriminator before them, every one on fresh samples."""
    rollouts: int = 16
    """Endings sampled for each beginning of a text (N in the paper)."""
    rollout_lag: float = 0.8
    """After each step: rollout policy <- lag * rollout policy + (1 - lag) * generator."""
    baseline: Baseline = "none"
    """What is subtracted from the rewards, see `objectives.seqgan`."""
    micro_batches: int = 1
    """Parts that an update is computed in: less memory, the same update."""
    clip_norm: float | None = 5.0
    """Longest gradient that is applied as it is; null for no limit."""
    skips_in_a_row: int = 10
    """Updates that may be skipped one after the other because the loss or a gradient is not finite."""

    def __post_init__(self) -> None:
        for name in ("generator_updates", "discriminator_updates", "rollouts", "micro_batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        if not 0 <= self.rollout_lag < 1:
            raise ConfigError("rollout_lag must be at least 0 and below 1", received=self.rollout_lag)


class AdversarialLearner:
    """SeqGAN. See `trivium.training.learners.protocol.Learner` for the methods; `model` is the generator.

    Each row of a real `CausalBatch` is one whole text: `tokens[:, 0]` starts it and `targets` are its tokens. What is
    generated starts and ends as the real rows of the step do, so that no length gives it away.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, config: AdversarialConfig, *, steps: int
    ) -> None:
        """`discriminator` classifies texts (`classify`) in the two classes of `objectives.seqgan`."""
        self.model, self._discriminator, self._config = generator, discriminator, config
        self._rollout_policy = copy.deepcopy(generator).eval().requires_grad_(False)
        self._device = next(generator.parameters()).device
        self._factor = schedule(config.schedule, steps)
        limits = {"clip_norm": config.clip_norm, "skips_in_a_row": config.skips_in_a_row}
        self._generator_updates = Updates(generator, config.generator, name="generator", **limits)
        self._discriminator_updates = Updates(discriminator, config.discriminator, name="discriminator", **limits)
        self._steps = 0

    def step(self, batch: CausalBatch) -> dict[str, float]:
        """`discriminator_updates` of the one, then `generator_updates` of the other."""
        batch, config, factor = batch.to(self._device), self._config, self._factor(self._steps)
        judged = [self._update_discriminator(batch, factor) for _ in range(config.discriminator_updates)]
        written = [self._update_generator(batch, factor) for _ in range(config.generator_updates)]
        self._lag()
        self._steps += 1
        last = written[-1]
        return {
            "loss": last.loss,
            "tokens": sum(result.count for result in written),
            "learning_rate": self._generator_updates.learning_rate,
            "gradient_norm": last.norm,
            "skipped": float(not all(result.finite for result in [*judged, *written])),
            "reward": last.metrics["reward"],
            "discriminator_loss": judged[-1].loss,
            "discriminator_correct": judged[-1].metrics["correct"],
        }

    def _update_discriminator(self, batch: CausalBatch, factor: float) -> Gradient:
        generated = self._generated(batch)
        self._discriminator.train()
        labels = torch.tensor([REAL, GENERATED], device=self._device).repeat_interleave(batch.rows)
        both = LabelledBatch(torch.cat([batch.targets, generated]), torch.cat([batch.lengths] * 2), labels)
        parts = both.split(self._config.micro_batches)
        return self._discriminator_updates.apply((classification(self._discriminator, part) for part in parts), factor)

    def _update_generator(self, batch: CausalBatch, factor: float) -> Gradient:
        texts = self._generated(batch)
        self._discriminator.eval()  # its dropout would be noise in the rewards
        start = batch.tokens[:, :1]
        rewards = rollout_rewards(self._rollout_policy, self._judge, start, texts, batch.lengths, self._config.rollouts)
        return self._generator_updates.apply(self._losses(self._as_batch(batch, texts), rewards), factor)

    def _losses(self, batch: CausalBatch, rewards: Float[Tensor, "B T"]) -> Iterator[Loss]:
        first = 0
        for part in batch.split(self._config.micro_batches):
            yield seqgan(self.model, part, rewards[first : first + part.rows], self._config.baseline)
            first += part.rows

    def _generated(self, batch: CausalBatch) -> Int[Tensor, "B T"]:
        """As many texts as there are real ones, with their starts. Dropout is off: the generator learns from the
        distribution it samples from."""
        self.model.eval()
        return sample(self.model, batch.tokens[:, :1], batch.targets.shape[1])

    def _as_batch(self, batch: CausalBatch, texts: Int[Tensor, "B T"]) -> CausalBatch:
        tokens = torch.cat([batch.tokens[:, :1], texts[:, :-1]], dim=1)
        mask = torch.arange(texts.shape[1], device=self._device) < batch.lengths[:, None]
        return CausalBatch(tokens=tokens, targets=texts, mask=mask, lengths=batch.lengths)

    def _judge(self, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        """The discriminator's probability that each text is real."""
        output = self._discriminator(texts, lengths=lengths)
        return torch.softmax(self._discriminator.classify(output.hidden, lengths), dim=-1)[:, REAL]

    @torch.no_grad()
    def _lag(self) -> None:
        for lagging, present in zip(self._rollout_policy.parameters(), self.model.parameters(), strict=True):
            lagging.lerp_(present, 1 - self._config.rollout_lag)

    @torch.no_grad()
    def evaluate(self, batch: CausalBatch) -> tuple[float, float]:
        """The generator's negative log-likelihood of real text: what a GAN loses in coverage shows here."""
        self.model.eval()
        loss = causal(self.model, batch.to(self._device))
        return float(loss.total), float(loss.count)

    @property
    def finished(self) -> bool:
        """It learns until it is stopped."""
        return False

    def heed(self, validation_loss: float) -> None:
        """A SeqGAN learns to the end, whatever its likelihood of real text does."""

    def weights(self) -> dict[str, Tensor]:
        """The generator's state dict."""
        return parallel.whole(self.model.state_dict())

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both networks, the lagging one, both optimisers; the counts as JSON."""
        state: dict[str, Any] = {"steps": self._steps}
        tensors: dict[str, Tensor] = {}
        for name, module in self._modules().items():
            tensors |= {f"{name}/{key}": tensor for key, tensor in own_tensors(module).items()}
        for name, updates in self._optimised().items():
            moments, state[name] = updates.state_dict()
            tensors |= {f"optimiser_of_{name}/{key}": tensor for key, tensor in moments.items()}
        return parallel.whole(tensors), state

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        for name, module in self._modules().items():
            load_module(module, below(f"{name}/", tensors))
        for name, updates in self._optimised().items():
            updates.load_state_dict(below(f"optimiser_of_{name}/", tensors), state[name])
        self._steps = state["steps"]

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.model,
            "discriminator": self._discriminator,
            "rollout_policy": self._rollout_policy,
        }

    def _optimised(self) -> dict[str, Updates]:
        return {"generator": self._generator_updates, "discriminator": self._discriminator_updates}
