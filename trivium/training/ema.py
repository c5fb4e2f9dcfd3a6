"""An exponential moving average of the weights: less noisy than the last ones, for evaluation and publication."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from trivium.errors import ConfigError


class MovingAverage:
    """average <- d * average + (1 - d) * weights after every update (Polyak and Juditsky 1992, exponentially weighted).

    For the first updates d is at most (1 + n) / (10 + n), so that the random start is soon forgotten.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float):
        if not 0.0 < decay < 1.0:
            raise ConfigError("the decay of the moving average is a fraction", received=decay, expected="0 to 1")
        self._parameters = dict(parameters)
        self._decay = decay
        self.tensors: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Takes in the weights after `updates` updates in all."""
        decay = min(self._decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._parameters.values()), 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model computes with the average; after it with its own weights, to the last bit."""
        own = [parameter.detach().clone() for parameter in self._parameters.values()]
        self._copy(self.tensors.values())
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, values) -> None:
        for parameter, value in zip(self._parameters.values(), values, strict=True):
            parameter.copy_(value)
