"""A generator of text against a discriminator of real and generated text, by whichever game they play."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trivium.errors import ConfigError, NonFiniteError
from trivium.training import parallel
from trivium.training.adversarial.conditioned import likelihood
from trivium.training.adversarial.game import Game
from trivium.training.adversarial.texts import Real, Texts
from trivium.training.gradients import Gradient
from trivium.training.learners.updates import Updates, below, load_module, own_tensors
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig, schedule

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """How generator and discriminator take turns; the defaults are those of SeqGAN's authors where they have them."""

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
    """Updates of the generator in each step, every one on fresh samples; 0 trains the discriminator alone."""
    discriminator_updates: int = 5
    """Updates of the discriminator before them: the rows of a batch are shared out among them, and as many texts are
    generated at once. 0 leaves the discriminator as it is."""
    saturated: float = 0.98
    """A discriminator that is right about this share of a step's texts waits until it is not: it has nothing to teach
    that the generator could use. 1 never waits."""
    clip_norm: float | None = 5.0
    """Longest gradient that is applied as it is; null for no limit."""
    skips_in_a_row: int = 10
    """Updates that may be skipped one after the other because the loss or a gradient is not finite."""

    def __post_init__(self) -> None:
        for name in ("generator_updates", "discriminator_updates"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative", received=getattr(self, name))
        if not self.generator_updates + self.discriminator_updates:
            raise ConfigError("a step without any update", received="generator_updates 0, discriminator_updates 0")
        if not 0.5 < self.saturated <= 1:
            raise ConfigError("saturated is a share above one half", received=self.saturated, expected="such as 0.98")


class AdversarialLearner:
    """See `trivium.training.learners.protocol.Learner` for the methods; `model` is the generator."""

    def __init__(self, game: Game[Any], config: AdversarialConfig, *, steps: int) -> None:
        """`steps` is what the schedule of the rates is spread over."""
        self.model, self._game, self._config = game.generator, game, config
        self._device = next(game.generator.parameters()).device
        self._factor = schedule(config.schedule, steps)
        limits = {"clip_norm": config.clip_norm, "skips_in_a_row": config.skips_in_a_row}
        self._generator_updates = Updates(game.generator, config.generator, name="generator", **limits)
        self._discriminator_updates = Updates(game.discriminator, config.discriminator, name="discriminator", **limits)
        self._steps = 0
        self._waits = False

    def step(self, batch: Real) -> dict[str, float]:
        """`discriminator_updates` of the one, then `generator_updates` of the other.

        Raises `NonFiniteError` before any update where the generator's weights are not finite.
        """
        self._require_finite()
        batch, config, factor = batch.to(self._device), self._config, self._factor(self._steps)
        parts = batch.split(max(1, config.discriminator_updates))
        texts = self._game.sampled(batch, self._steps)
        judged = self._discriminated(parts, texts, factor)
        own = [
            self._generator_updates.apply(self._game.written(parts[0], self._steps), factor)
            for _ in range(config.generator_updates)
        ]
        self._game.ended()
        self._steps += 1
        return {**self._told(judged, own), "unique": texts.unique}

    def _discriminated(self, parts: Sequence[Real], texts: Texts, factor: float) -> list[Gradient]:
        """The discriminator's updates, none while it waits."""
        if not self._config.discriminator_updates:
            return []
        written, first = [], 0
        for part in parts:
            written.append(texts.part(first, first + part.rows))
            first += part.rows
        if self._waits and self._correct(parts[0], written[0]) >= self._config.saturated:
            return []
        found = []
        for part, own in zip(parts, written, strict=True):
            self._game.discriminator.train()
            found.append(self._discriminator_updates.apply([self._game.against(part, own)], factor))
        right = sum(each.metrics["correct"] for each in found) / len(found)
        if right >= self._config.saturated and not self._waits and self._config.saturated < 1:
            _log.warning(
                "the discriminator is right about %.0f %% of the texts after %d steps and waits until it is not; where "
                "that goes on, lower its rate or its updates, or train the generator longer by likelihood first",
                100 * right,
                self._steps + 1,
            )
        self._waits = right >= self._config.saturated and self._config.saturated < 1
        return found

    @torch.no_grad()
    def _correct(self, real: Real, written: Texts) -> float:
        loss = self._game.against(real, written)
        return float(loss.metrics["correct"] / loss.count)

    def _told(self, judged: list[Gradient], own: list[Gradient]) -> dict[str, float]:
        last = (own or judged)[-1] if own or judged else None
        told = {
            "loss": last.loss if last else 0.0,
            "tokens": sum(_tokens(result) for result in own or judged),
            "learning_rate": (self._generator_updates if own else self._discriminator_updates).learning_rate,
            "gradient_norm": last.norm if last else 0.0,
            "skipped": float(not all(result.finite for result in [*judged, *own])),
            "discriminator_waits": float(self._waits),
        }
        if judged:
            told["discriminator_loss"] = judged[-1].loss
            told |= {f"discriminator_{name}": value for name, value in judged[-1].metrics.items() if name != "tokens"}
        if own:
            metrics = {name: value for name, value in own[-1].metrics.items() if name != "tokens"}
            if "reward_squared" in metrics:  # of rewards whose mean is always 0 that is not told
                mean = metrics.get("reward", 0.0)
                told["reward_deviation"] = max(0.0, metrics.pop("reward_squared") - mean**2) ** 0.5
            told |= metrics
        return told

    def _require_finite(self) -> None:
        for name, parameter in self.model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise NonFiniteError(
                    f"the generator's weights are not finite (the first: {name}), so nothing can be sampled from it: "
                    f"stopped before step {self._steps + 1}. Go back to an earlier checkpoint, with a lower rate."
                )

    @torch.no_grad()
    def evaluate(self, batch: Real) -> tuple[float, float]:
        """The generator's negative log-likelihood of real text: what a GAN loses in coverage shows here."""
        self.model.eval()
        loss = likelihood(self.model, batch.to(self._device))
        return float(loss.total), float(loss.count)

    @property
    def finished(self) -> bool:
        """It learns until it is stopped."""
        return False

    def heed(self, validation_loss: float) -> None:
        """A game goes on to the end, whatever the generator's likelihood of real text does."""

    def weights(self) -> dict[str, Tensor]:
        """The generator's state dict."""
        return parallel.whole(self.model.state_dict())

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both networks, what lags behind them, both optimisers; the counts as JSON."""
        state: dict[str, Any] = {"steps": self._steps, "waits": self._waits}
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
        self._steps, self._waits = state["steps"], state["waits"]

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.model, "discriminator": self._game.discriminator, **self._game.modules()}

    def _optimised(self) -> dict[str, Updates]:
        return {"generator": self._generator_updates, "discriminator": self._discriminator_updates}


def _tokens(result: Gradient) -> float:
    """That were learnt from: the losses of some methods are counted by texts, and say their tokens beside."""
    return result.count * result.metrics["tokens"] if "tokens" in result.metrics else result.count
