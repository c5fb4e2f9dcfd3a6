"""One set of optimisers at work: rate, gradient, update or skip. For learners that have several, or update often."""

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trivium.errors import NonFiniteError
from trivium.objectives.loss import Loss
from trivium.training import gradients
from trivium.training.optimisers import OptimiserConfig, build_optimisers, shared_like

_log = logging.getLogger(__name__)


class Updates:
    """Applies gradients to the trained parameters of one module and counts what it did."""

    def __init__(
        self, module: nn.Module, config: OptimiserConfig, *, clip_norm: float | None, skips_in_a_row: int, name: str
    ) -> None:
        """`NonFiniteError` comes after more than ``skips_in_a_row`` updates that were not finite and so not made."""
        self._optimisers = build_optimisers(module, config)
        self._clip_norm, self._most_skips, self._name = clip_norm, skips_in_a_row, name
        self.count = 0
        """Updates so far, skipped ones included."""
        self._skips = 0

    @property
    def learning_rate(self) -> float:
        """The present rate."""
        return self._optimisers.learning_rate

    def apply(self, losses: Iterable[Loss], factor: float) -> gradients.Gradient:
        """One update from the micro-batches of ``losses`` at ``factor`` times the peak rate, or none if not finite."""
        self._optimisers.set_rate(factor)
        result = gradients.backward(losses, self._optimisers.parameters, self._clip_norm)
        self.count += 1
        if result.finite:
            self._optimisers.step()
            self._skips = 0
        self._optimisers.zero_gradients()
        if not result.finite:
            self._skips += 1
            _log.warning(
                "update %d of the %s skipped: loss %g, gradient norm %g",
                self.count,
                self._name,
                result.loss,
                result.norm,
            )
            if self._skips > self._most_skips:
                raise NonFiniteError(
                    f"the loss of the {self._name} or its gradient was not finite {self._skips} times in a row; the "
                    "weights are those of before. Resume from the last checkpoint with a lower learning rate."
                )
        return result

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Moments of the optimisers, and the counts."""
        return self._optimisers.state_tensors(), {"count": self.count, "skips_in_a_row": self._skips}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self._optimisers.load_state_tensors(tensors)
        self.count, self._skips = state["count"], state["skips_in_a_row"]


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters, a tied one once, and buffers, those outside the published state dict included."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


@torch.no_grad()
def load_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts back what `own_tensors` gave, whole tensors, however the module is sharded now."""
    for name, tensor in own_tensors(module).items():
        tensor.copy_(shared_like(tensors[name], tensor))


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
