"""One set of optimisers at work: rate, gradient, update or skip. For learners that have several, or update often."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trivium.errors import CheckpointError, NonFiniteError
from trivium.nn.quantized import NF4Linear
from trivium.nn.quantized_experts import NF4GroupedLinear
from trivium.objectives.loss import Loss
from trivium.training import gradients
from trivium.training.expert_balance import balance_experts
from trivium.training.in_backward import backward_with_updates
from trivium.training.optimisers import OptimiserConfig, build_optimisers, shared_like
from trivium.training.private_gradients import PrivateGradient

_log = logging.getLogger(__name__)
_PRIVATE = "private gradient/"  # no parameter's name has a space


class Updates:
    """Applies gradients to the trained parameters of one module and counts what it did."""

    def __init__(
        self,
        module: nn.Module,
        config: OptimiserConfig,
        *,
        clip_norm: float | None,
        skips_in_a_row: int,
        name: str,
        factors: Mapping[str, float] | None = None,
        within_backward: bool = False,
        private: PrivateGradient | None = None,
    ) -> None:
        """`NonFiniteError` comes after more than ``skips_in_a_row`` updates that were not finite and so not made.

        ``factors`` are as of `build_optimisers`. With ``within_backward`` each parameter is updated as soon as its
        gradient is whole; with ``private`` each loss is of one example, and it clips those instead of ``clip_norm``.
        """
        self._module = module
        self._optimisers = build_optimisers(module, config, factors)
        self._clip_norm, self._most_skips, self._name = clip_norm, skips_in_a_row, name
        self._within_backward, self._private = within_backward, private
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
        result = self._gradient(losses)
        self.count += 1
        if result.finite:
            self._optimisers.step()
            self._skips = 0
        balance_experts(self._module, updated=result.finite)
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

    def _gradient(self, losses: Iterable[Loss]) -> gradients.Gradient:
        parameters = self._optimisers.parameters
        if self._private is not None:
            return self._private(losses, parameters)
        if self._within_backward:  # what is left for `step` afterwards is nothing
            return backward_with_updates(losses, parameters, self._optimisers.step)
        return gradients.backward(losses, parameters, self._clip_norm)

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Moments of the optimisers, the state of private training's noise, and the counts."""
        noise = {} if self._private is None else self._private.state_tensors()
        tensors = self._optimisers.state_tensors() | {f"{_PRIVATE}{name}": tensor for name, tensor in noise.items()}
        return tensors, {"count": self.count, "skips_in_a_row": self._skips}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        noise = below(_PRIVATE, tensors)
        self._optimisers.load_state_tensors({name: t for name, t in tensors.items() if not name.startswith(_PRIVATE)})
        if self._private is not None:
            self._private.load_state_tensors(noise)
        self.count, self._skips = state["count"], state["skips_in_a_row"]


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters, a tied one once, and buffers, those outside the published state dict included."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def learnt_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What training changes: the parameters that require gradients, and the buffers but those of packed weights.

    What is frozen is read again from where it came from: a run on a base of many gigabytes does not copy it into every
    checkpoint.
    """
    kinds = NF4Linear | NF4GroupedLinear
    packed = tuple(f"{name}." for name, part in module.named_modules() if isinstance(part, kinds))
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    return trained | {name: buffer for name, buffer in module.named_buffers() if not name.startswith(packed)}


def load_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts back what `own_tensors` gave, whole tensors, however the module is sharded now."""
    load_tensors(own_tensors(module), tensors)


@torch.no_grad()
def load_tensors(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Fills each of `own` from the whole tensor of its name. Raises `CheckpointError` for other names."""
    if own.keys() != saved.keys():
        raise CheckpointError(
            "the checkpoint holds the state of other parameters than are trained",
            received=", ".join(sorted(own.keys() ^ saved.keys())[:5]),
            fix="resume with the settings that the run was started with",
        )
    for name, tensor in own.items():
        tensor.copy_(shared_like(saved[name], tensor))


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
