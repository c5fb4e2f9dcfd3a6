"""Optimisers that update one parameter after the other, each from its own gradient and state."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from trivium.errors import Unsupported


class OneByOne(torch.optim.Optimizer, ABC):
    """An optimiser whose update of a parameter needs all of it in one place."""

    def __init__(
        self, parameters: Iterable[Tensor] | Iterable[dict[str, Any]], defaults: dict[str, Any], *, of_shares: str
    ) -> None:
        """Raises `Unsupported` for sharded parameters; ``of_shares`` says in words what theirs would be."""
        super().__init__(parameters, defaults)
        if any(isinstance(parameter, DTensor) for group in self.param_groups for parameter in group["params"]):
            raise Unsupported(
                of_shares,
                received="a model shared out between processes",
                fix="set several_processes to replicate, or the optimiser to adamw",
            )

    @abstractmethod
    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """One update of ``parameter``, in place."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        assert closure is None, "nothing is evaluated here"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)
