"""DP-SGD: gradients that tell little of any one example (Abadi et al. 2016, algorithm 1).

Each example's gradient is clipped to the norm C, the clipped ones are added, Gaussian noise of standard deviation
sigma * C is added to the sum, and this is divided by the *expected* number of examples L:

    g = (sum_i g_i / max(1, |g_i| / C) + N(0, sigma^2 C^2 I)) / L

The guarantee holds where each update takes each example with the same probability, independently (Poisson sampling,
`trivium.data.poisson`), and the noise cannot be guessed. The noise is therefore drawn from a generator of its own,
whose seed comes from the operating system, never from the run's; its state is kept with the moments, so that a resumed
run does not use the same noise twice. Whoever has the checkpoint's `resume/` could subtract the noise: it is not to be
given away. Nor does the guarantee cover the losses that are logged.

Clipped is the gradient of all trained parameters together. It is computed an example at a time: exact for every model
and adapter, and with a few million parameters the cost is that of the small matrix products.
"""

import dataclasses
import math
import secrets
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from trivium.errors import ConfigError, Unsupported
from trivium.objectives.loss import Loss
from trivium.runtime import processes
from trivium.training.gradients import Gradient, global_norm
from trivium.training.privacy_accountant import epsilon, noise_for


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """How much may be told of any one example (DP-SGD); without an epsilon or noise, as much as there is to tell."""

    epsilon: float | None = None
    """The most that the whole run may spend; the noise follows from it. 8 is a usual bound, 1 a strict one."""
    noise: float | None = None
    """Sigma, the noise in units of `clip_norm`, where no epsilon is given."""
    delta: float | None = None
    """Probability with which the bound may fail; null for 1 in 10 times the number of examples."""
    clip_norm: float = 1.0
    """Longest gradient of one example that is added as it is (C)."""

    def __post_init__(self) -> None:
        if self.epsilon is not None and self.noise is not None:
            raise ConfigError(
                "the noise follows from epsilon, or epsilon from the noise",
                received=f"epsilon {self.epsilon}, noise {self.noise}",
                fix="leave one of them out",
            )
        for name in ("epsilon", "noise", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a finite number above 0", received=value)
        if self.delta is not None and not 0 < self.delta < 1:
            raise ConfigError("delta is a probability", received=self.delta, expected="above 0 and below 1")

    @property
    def wanted(self) -> bool:
        """Whether training is private."""
        return self.epsilon is not None or self.noise is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Privacy:
    """What `PrivacyConfig` comes to for one run; `spent` is what is reported."""

    clip_norm: float
    """C."""
    noise: float
    """Sigma."""
    delta: float
    """Probability with which the bound may fail."""
    sample_rate: float
    """Probability with which an update takes an example."""
    examples: int
    """Examples there are."""

    @classmethod
    def of(cls, config: PrivacyConfig, *, examples: int, expected: float, steps: int) -> "Privacy":
        """For ``examples`` of which ``expected`` are taken by each of ``steps`` updates, on average.

        Raises `ConfigError` for an epsilon that no noise reaches, and for more expected than there are.
        """
        if not 0 < expected <= examples:
            raise ConfigError(
                "an update cannot take more examples than there are",
                received=f"{expected} of {examples}",
                fix=f"set rows to at most {examples}",
            )
        delta = 1 / (10 * examples) if config.delta is None else config.delta
        rate = expected / examples
        noise = config.noise
        if noise is None:
            assert config.epsilon is not None, "private training was asked for"
            noise = noise_for(epsilon=config.epsilon, sample_rate=rate, steps=steps, delta=delta)
        return cls(clip_norm=config.clip_norm, noise=noise, delta=delta, sample_rate=rate, examples=examples)

    @property
    def expected(self) -> float:
        """Examples that an update takes on average, L."""
        return self.sample_rate * self.examples

    def spent(self, steps: int) -> float:
        """Epsilon after so many updates."""
        return epsilon(sample_rate=self.sample_rate, noise=self.noise, steps=steps, delta=self.delta)


class PrivateGradient:
    """Makes the gradient of one update out of the losses of single examples."""

    def __init__(self, privacy: Privacy, *, device: torch.device, seed: int | None = None) -> None:
        """``seed`` is for tests: with one that can be guessed nothing is private. Raises `Unsupported` under several
        processes, each of which would have to add its share of the noise."""
        if processes.place().world > 1:
            raise Unsupported(
                "private training in several processes",
                received=f"{processes.place().world} processes",
                fix="start one process",
            )
        self._privacy = privacy
        self._generator = torch.Generator(device)
        self._generator.manual_seed(secrets.randbits(63) if seed is None else seed)

    def __call__(self, losses: Iterable[Loss], parameters: Sequence[Tensor]) -> Gradient:
        """Leaves g in `parameter.grad`. Each loss is of one example, of which the mean over its tokens is taken.

        Gradients must be empty before. An example whose loss or gradient is not finite counts as zero, as it would in
        no other way keep to the bound. Without any example there is noise alone, as there must be.
        """
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        total = count = 0.0
        for loss in losses:
            whole = sum(loss.auxiliary.values(), start=loss.total)
            (whole / loss.count.clamp(min=1)).backward()
            self._add_clipped(sums, parameters)
            total, count = total + float(loss.total.detach()), count + float(loss.count)
        for parameter, gradient in zip(parameters, sums, strict=True):
            noise = torch.empty_like(gradient).normal_(generator=self._generator)
            gradient.add_(noise, alpha=self._privacy.noise * self._privacy.clip_norm)
            parameter.grad = gradient.div_(self._privacy.expected)
        norm = global_norm(sums)
        return Gradient(total / count if count else 0.0, count, norm, math.isfinite(norm), {})

    def _add_clipped(self, sums: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        gradients = [parameter.grad for parameter in parameters]
        norm = global_norm([gradient for gradient in gradients if gradient is not None])
        if math.isfinite(norm):
            shorter = min(1.0, self._privacy.clip_norm / norm) if norm else 1.0
            for added, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    added.add_(gradient, alpha=shorter)
        for parameter in parameters:
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """The state of the noise."""
        return {"noise": self._generator.get_state()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `state_tensors` gave."""
        self._generator.set_state(tensors["noise"].cpu())
