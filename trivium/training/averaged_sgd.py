"""NT-ASGD: plain gradient descent, then the mean of its iterates, begun when the validation loss stops falling.

Merity, Keskar and Socher 2018, section 3, algorithm 1. Descent at a constant rate comes to circle around a minimum,
and the mean of where it has been lies nearer to it (Polyak and Juditsky 1992). When to begin is left to the validation
loss: at the first evaluation that is worse than the best one of all but the last n before it. The trigger is
non-monotone: a single worse evaluation is not enough.

    OptimiserConfig(kind="sgd", learning_rate=30.0, weight_decay=1.2e-6)
    SupervisedConfig(optimiser=..., non_monotone_evaluations=5, clip_norm=0.25)
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trivium.errors import ConfigError
from trivium.training.ema import computing_with
from trivium.training.optimisers import shared_like


class NonMonotoneAverage:
    """The mean of the weights since the trigger; before it, the weights themselves."""

    def __init__(self, parameters: Mapping[str, Tensor], interval: int) -> None:
        """`interval` is n, the number of latest evaluations that are not compared with; 5 in the paper."""
        if interval < 0:
            raise ConfigError("the non-monotone interval must not be negative", received=interval)
        self._parameters = dict(parameters)
        self._interval = interval
        self._losses: list[float] = []
        self._count = 0
        self._tensors: dict[str, Tensor] = {}

    @property
    def triggered(self) -> bool:
        """Whether averaging has begun."""
        return self._count > 0

    def heed(self, validation_loss: float) -> None:
        """Takes in one evaluation, and begins to average if it is the one; the present weights are the first."""
        if self.triggered or not math.isfinite(validation_loss):
            return
        earlier = self._losses[: max(len(self._losses) - self._interval, 0)]
        if earlier and validation_loss > min(earlier):
            self._tensors = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
            self._count = 1
        self._losses.append(validation_loss)

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Takes in the weights after an update, whichever of all `updates` it was."""
        if self.triggered:
            self._count += 1
            torch._foreach_lerp_(list(self._tensors.values()), list(self._parameters.values()), 1 / self._count)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model computes with the mean; after it with its own weights, to the last bit."""
        if not self.triggered:
            yield
            return
        with computing_with(self._parameters, self._tensors):
            yield

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The mean; the losses so far and how many iterates the mean is of."""
        return self._tensors, {"losses": list(self._losses), "count": self._count}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave, whole tensors, however the parameters are sharded now."""
        ours = self._parameters.items() if tensors else ()  # in our order: a file has its own
        self._tensors = {name: shared_like(tensors[name], parameter) for name, parameter in ours}
        self._losses, self._count = list(state["losses"]), state["count"]
