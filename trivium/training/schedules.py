"""How the learning rate goes with the step: factors of the peak rate, pure functions of the step.

`step` counts the updates done before, so the first update asks for step 0. Warm-up is linear and reaches the peak at
update number `warmup_steps`. There is no state: a resumed run reads its rate off the step.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

from trivium.errors import ConfigError

USUAL_WARMUP_STEPS = 100
"""Where neither the schedule nor a recipe names the warm-up; at most an eighth of the run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The shape of the learning rate over a run."""

    kind: Literal["constant", "cosine", "wsd", "linear", "inverse_sqrt"] = "cosine"
    """After warm-up: constant; a half cosine; stable and then linear decay (wsd); a straight line; 1 / sqrt(step)."""
    warmup_steps: int | None = None
    """Updates over which the rate rises linearly from nothing to its peak; null for what is usual where it is used."""
    floor: float = 0.0
    """Fraction of the peak that is left at the end (cosine, wsd, linear)."""
    decay_fraction: float = 0.2
    """Share of all updates that the final decay takes (wsd)."""

    def __post_init__(self) -> None:
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise ConfigError("warmup_steps must not be negative", received=self.warmup_steps)
        for name in ("floor", "decay_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is a fraction", received=getattr(self, name), expected="0 to 1")


def schedule(config: ScheduleConfig, steps: int) -> Callable[[int], float]:
    """The factor of the peak rate as a function of the step, for a run of `steps` updates."""
    warmup = min(USUAL_WARMUP_STEPS, steps // 8) if config.warmup_steps is None else config.warmup_steps
    if config.kind == "constant":
        return lambda step: constant(step, warmup)
    if config.kind == "inverse_sqrt":
        return lambda step: inverse_sqrt(step, warmup)
    if warmup >= steps:
        raise ConfigError(
            "the warm-up is as long as the run",
            received=f"warmup_steps {warmup}, steps {steps}",
            fix=f"set warmup_steps to {max(steps // 20, 0)}",
        )
    if config.kind == "cosine":
        return lambda step: cosine(step, warmup, steps, config.floor)
    if config.kind == "linear":
        return lambda step: linear(step, warmup, steps, config.floor)
    decay = min(round(config.decay_fraction * steps), steps - warmup)
    return lambda step: wsd(step, warmup, steps, decay, config.floor)


def constant(step: int, warmup_steps: int) -> float:
    """1 after warm-up."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cosine(step: int, warmup_steps: int, steps: int, floor: float) -> float:
    """Half a cosine from 1 to `floor` (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    if step < warmup_steps:
        return constant(step, warmup_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * _progress(step, warmup_steps, steps)))


def linear(step: int, warmup_steps: int, steps: int, floor: float) -> float:
    """A straight line from 1 to `floor`."""
    if step < warmup_steps:
        return constant(step, warmup_steps)
    return 1 - (1 - floor) * _progress(step, warmup_steps, steps)


def wsd(step: int, warmup_steps: int, steps: int, decay_steps: int, floor: float) -> float:
    """Warm-up, stable, decay: 1 until `decay_steps` before the end, then a straight line to `floor`.

    Hu et al. 2024 (MiniCPM, section 4) decay exponentially; the straight line is that of Hägele et al. 2024.
    """
    if step < steps - decay_steps:
        return constant(step, warmup_steps)
    return 1 - (1 - floor) * _progress(step, steps - decay_steps, steps)


def inverse_sqrt(step: int, warmup_steps: int) -> float:
    """1 / sqrt(step) after warm-up, 1 at its end (Vaswani et al. 2017, equation 3).

    The paper's rate is this times `noam_peak`.
    """
    update = step + 1
    if warmup_steps == 0:
        return update**-0.5
    return min(update / warmup_steps, (warmup_steps / update) ** 0.5)


def noam_peak(width: int, warmup_steps: int) -> float:
    """The learning rate at the end of warm-up in Vaswani et al. 2017, equation 3: (width * warmup_steps) ** -0.5.

    `ConfigError` without a warm-up, for which the equation gives no rate.
    """
    if warmup_steps < 1:
        raise ConfigError(
            "Noam's rate is that of a warm-up", received=f"warmup_steps {warmup_steps}", expected="1 or more"
        )
    return (width * warmup_steps) ** -0.5


def _progress(step: int, start: int, end: int) -> float:
    """0 at `start`, 1 at `end` and beyond."""
    return min(1.0, (step - start) / (end - start)) if end > start else 1.0
