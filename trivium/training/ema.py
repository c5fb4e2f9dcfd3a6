"""An exponential moving average of the weights: less noisy than the last ones, for evaluation and publication."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trivium.errors import ConfigError
from trivium.training.optimisers import shared_like


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

    def heed(self, validation_loss: float) -> None:
        """Whatever the validation loss, the average goes on."""

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the model computes with the average; after it with its own weights, to the last bit."""
        with computing_with(self._parameters, self.tensors):
            yield

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The average; there is nothing else to remember."""
        return self.tensors, {}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave, whole tensors, however the parameters are sharded now."""
        for name, tensor in self.tensors.items():
            tensor.copy_(shared_like(tensors[name], tensor))


@contextlib.contextmanager
def computing_with(parameters: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block `parameters` hold the values of `others`, by name; after it their own, to the last bit."""
    own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    _copy(parameters, others)
    try:
        yield
    finally:
        _copy(parameters, own)


@torch.no_grad()
def _copy(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
