"""Which optimiser takes which parameter, and their common state by parameter name."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from trivium.errors import CheckpointError, ConfigError
from trivium.training.muon import Muon, Scale


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW for everything, Muon for the matrices inside the blocks and AdamW for the rest, or SGD for everything."""

    kind: Literal["adamw", "muon", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), Muon (Jordan et al. 2024) beside it, or gradient descent as it is."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW, or of SGD."""
    beta1: float = 0.9
    """AdamW's decay of the mean gradient."""
    beta2: float = 0.95
    """AdamW's decay of the mean square."""
    epsilon: float = 1e-8
    """Added to AdamW's denominator."""
    weight_decay: float = 0.1
    """Decoupled decay, of matrices only: norms and biases are left alone."""
    muon_learning_rate: float = 0.02
    """Peak rate of Muon."""
    muon_momentum: float = 0.95
    """Muon's momentum."""
    muon_scale: Scale = "original"
    """How Muon's rate depends on a matrix's shape, see `trivium.training.muon.update_scale`."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "muon_learning_rate", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:  # NaN fails every comparison
                raise ConfigError(f"{name} must be a finite number above 0", received=getattr(self, name))
        for name in ("beta1", "beta2", "muon_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1", received=getattr(self, name))
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError("weight_decay must be a finite number of at least 0", received=self.weight_decay)


class Optimisers:
    """The optimisers of one network, stepped together. Made by `build_optimisers`."""

    def __init__(self, optimisers: list[torch.optim.Optimizer], names: dict[Tensor, str]):
        self._optimisers = optimisers
        self._names = names
        self._peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]

    @property
    def parameters(self) -> list[Tensor]:
        """Every parameter that is trained, in a fixed order."""
        return list(self._names)

    @property
    def learning_rate(self) -> float:
        """The present rate of the first group (AdamW's wherever there is one)."""
        return self._optimisers[0].param_groups[0]["lr"]

    def set_rate(self, factor: float) -> None:
        """Sets every rate to `factor` times its peak."""
        for optimiser, peaks in zip(self._optimisers, self._peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def step(self) -> None:
        """One update from the gradients."""
        for optimiser in self._optimisers:
            optimiser.step()

    def zero_gradients(self) -> None:
        """Drops every gradient."""
        for parameter in self._names:
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """What the optimisers remember: "name of the parameter/name of the quantity" -> tensor."""
        return {
            f"{self._names[parameter]}/{key}": value
            for optimiser in self._optimisers
            for parameter, state in optimiser.state.items()
            for key, value in state.items()
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `state_tensors` gave, whole tensors, however the parameters are sharded now.

        Written past `Optimizer.load_state_dict`, which would cast the moments to the parameter's dtype.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            name, _, key = path.rpartition("/")
            found.setdefault(name, {})[key] = tensor
        unknown = found.keys() - set(self._names.values())
        if unknown:
            raise CheckpointError("the optimiser state is another model's", received=", ".join(sorted(unknown)[:5]))
        for optimiser in self._optimisers:
            optimiser.state.clear()
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    for key, tensor in found.get(self._names[parameter], {}).items():
                        optimiser.state[parameter][key] = shared_like(tensor, parameter)


def build_optimisers(model: nn.Module, config: OptimiserConfig) -> Optimisers:
    """Optimisers for the parameters of `model` that require gradients.

    With `kind="muon"` the matrices inside `model.blocks` go to Muon; embeddings, output head, norms, biases and kernels
    of convolutions go to AdamW, whose per-coordinate scaling they need (Jordan et al. 2024).
    """
    names: dict[Tensor, str] = {
        parameter: name for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    if not names:
        raise ConfigError("no parameter of the model is trained", fix="unfreeze some of it")
    matrices: list[Tensor] = []
    if config.kind == "muon":
        matrices = [p for p in model.blocks.parameters() if p.requires_grad and p.ndim == 2]
    taken = set(matrices)
    rest: list[Tensor] = [parameter for parameter in names if parameter not in taken]
    optimisers: list[torch.optim.Optimizer] = []
    if rest:
        optimisers.append((_sgd if config.kind == "sgd" else _adamw)(rest, config))
    if matrices:
        optimisers.append(
            Muon(
                matrices,
                config.muon_learning_rate,
                momentum=config.muon_momentum,
                weight_decay=config.weight_decay,
                scale=config.muon_scale,
            )
        )
    return Optimisers(optimisers, names)


def _adamw(parameters: list[Tensor], config: OptimiserConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        _decaying(parameters, config.weight_decay),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def _sgd(parameters: list[Tensor], config: OptimiserConfig) -> torch.optim.SGD:
    """Without momentum, so that decay in the gradient is the decoupled one."""
    return torch.optim.SGD(_decaying(parameters, config.weight_decay), lr=config.learning_rate, fused=True)


def _decaying(parameters: list[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices, which decay, and the rest, which do not."""
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def shared_like(whole: Tensor, parameter: Tensor) -> Tensor:
    """`whole` on the parameter's device and, where it has the parameter's shape, sharded as the parameter is."""
    whole = whole.to(parameter.device)
    if not isinstance(parameter, DTensor) or whole.shape != parameter.shape:
        return whole.clone()  # never a view of the file's memory
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
