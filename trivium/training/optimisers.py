"""Which optimiser takes which parameter, and their common state by parameter name."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from trivium.errors import CheckpointError, ConfigError
from trivium.training.eight_bit_adamw import EightBitAdamW
from trivium.training.low_rank_gradients import GaLoreAdamW
from trivium.training.muon import Muon, Scale

LEARNING_RATE = 1e-3
"""Peak rate of AdamW where none is given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW for everything, Muon for the matrices inside the blocks and AdamW for the rest, or SGD for everything."""

    kind: Literal["adamw", "adamw8bit", "galore", "muon", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter 2019), with moments of 8 bits (Dettmers et al. 2022), or in a small subspace of each
    matrix's gradient (GaLore, Zhao et al. 2024); Muon (Jordan et al. 2024) beside it; gradient descent as it is."""
    learning_rate: float | None = None
    """Peak rate of AdamW, or of SGD; null for 1e-3, and in fine-tuning for what is usual of the method."""
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
    galore_rank: int = 128
    """Of galore: dimensions of the subspace; matrices with a side no longer than that are left to AdamW."""
    galore_every_steps: int = 200
    """Of galore: updates until the subspace is chosen anew."""
    galore_scale: float = 0.25
    """Of galore: by what the updates of matrices are multiplied."""

    def __post_init__(self) -> None:
        for name in ("galore_rank", "galore_every_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        for name in ("learning_rate", "muon_learning_rate", "epsilon", "galore_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:  # NaN fails every comparison
                raise ConfigError(f"{name} must be a finite number above 0", received=value)
        for name in ("beta1", "beta2", "muon_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 0 and below 1", received=getattr(self, name))
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError("weight_decay must be a finite number of at least 0", received=self.weight_decay)

    @property
    def rate(self) -> float:
        """The peak rate of AdamW or SGD, given or not."""
        return LEARNING_RATE if self.learning_rate is None else self.learning_rate


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
        """The present rate of the first group (AdamW's wherever there is one), without its factor."""
        first = self._optimisers[0].param_groups[0]
        return first["lr"] / first["factor"]

    def set_rate(self, factor: float) -> None:
        """Sets every rate to `factor` times its peak."""
        for optimiser, peaks in zip(self._optimisers, self._peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def step(self) -> None:
        """One update from the gradients. What is frozen by now loses its moments: where blocks take turns, those that
        rest cost no memory, and begin anew."""
        for optimiser in self._optimisers:
            for parameter in [parameter for parameter in optimiser.state if not parameter.requires_grad]:
                del optimiser.state[parameter]
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


def build_optimisers(
    model: nn.Module, config: OptimiserConfig, factors: Mapping[str, float] | None = None
) -> Optimisers:
    """Optimisers for the parameters of `model` that require gradients.

    With `kind="muon"` the matrices inside `model.blocks` go to Muon; embeddings, output head, norms, biases and kernels
    of convolutions go to AdamW, whose per-coordinate scaling they need (Jordan et al. 2024). A parameter that `factors`
    names learns at so many times the rate of the others.
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
    own = {parameter: (factors or {}).get(name, 1.0) for parameter, name in names.items()}
    optimisers: list[torch.optim.Optimizer] = []
    if rest:
        groups = _groups(rest, own, config.rate, config.weight_decay)
        optimisers.append(_of_kind(config, groups, model))
    if matrices:
        groups = _groups(matrices, own, config.muon_learning_rate, config.weight_decay)
        momentum, scale = config.muon_momentum, config.muon_scale
        optimisers.append(Muon(groups, config.muon_learning_rate, momentum=momentum, scale=scale))
    return Optimisers(optimisers, names)


def _of_kind(config: OptimiserConfig, groups: list[dict[str, Any]], model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of what Muon does not take."""
    adam: dict[str, Any] = {"betas": (config.beta1, config.beta2), "eps": config.epsilon}
    match config.kind:
        case "sgd":
            return _sgd(groups)
        case "adamw8bit":
            return EightBitAdamW(_apart(groups, _embeddings(model), "precise", True), config.rate, **adam)
        case "galore":
            groups = _apart(groups, _outside_blocks(model), "rank", None)
            every, scale = config.galore_every_steps, config.galore_scale
            return GaLoreAdamW(groups, config.rate, rank=config.galore_rank, every_steps=every, scale=scale, **adam)
        case "adamw" | "muon":
            return torch.optim.AdamW(groups, fused=True, **adam)


def _embeddings(model: nn.Module) -> set[Tensor]:
    """Tables of which a step uses few rows: Dettmers et al. keep their moments in fp32 (section 2.3)."""
    return {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}


def _outside_blocks(model: nn.Module) -> set[Tensor]:
    """What is not of the blocks: GaLore is for the matrices in them (Zhao et al. 2024, section 5.1)."""
    inside = set(model.blocks.parameters())
    return {parameter for parameter in model.parameters() if parameter not in inside}


def _apart(groups: list[dict[str, Any]], parameters: set[Tensor], option: str, value: Any) -> list[dict[str, Any]]:
    """The groups with those of ``parameters`` in groups of their own, where ``option`` has ``value``."""
    found = []
    for group in groups:
        own = [parameter for parameter in group["params"] if parameter in parameters]
        rest = [parameter for parameter in group["params"] if parameter not in parameters]
        found += [{**group, "params": rest}, {**group, "params": own, option: value}]
    return [group for group in found if group["params"]]


def _sgd(groups: list[dict[str, Any]]) -> torch.optim.SGD:
    """Without momentum, so that decay in the gradient is the decoupled one."""
    return torch.optim.SGD(groups, fused=True)


def _groups(
    parameters: list[Tensor], factors: Mapping[Tensor, float], rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """For each factor of the rate two groups: matrices, which decay, and the rest, which do not."""
    found = []
    for factor in sorted({factors[parameter] for parameter in parameters}, reverse=True):
        own = [parameter for parameter in parameters if factors[parameter] == factor]
        common = {"lr": rate * factor, "factor": factor}
        found.append({"params": [p for p in own if p.ndim >= 2], "weight_decay": weight_decay, **common})
        found.append({"params": [p for p in own if p.ndim < 2], "weight_decay": 0.0, **common})
    return [group for group in found if group["params"]]


def shared_like(whole: Tensor, parameter: Tensor) -> Tensor:
    """`whole` on the parameter's device and, where it has the parameter's shape, sharded as the parameter is."""
    whole = whole.to(parameter.device)
    if not isinstance(parameter, DTensor) or whole.shape != parameter.shape:
        return whole.clone()  # never a view of the file's memory
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
