"""AdapterFusion: each token weighs what several trained bottleneck adapters say of it (Pfeiffer et al. 2021,
"AdapterFusion", section 3.2).

With x what the sub-layer gives and z_n what adapter n adds to it, s = softmax_n(x Q . z_n K), and sum_n s_n z_n V takes
the place of z. K is moved to the side of x and V behind the sum, which is the same and projects each token three times,
however many adapters there are.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_seat import AdaptedSeat, SeatUpdate
from trivium.adapters.adapter_set import AdapterSet, Placing, adapters_of, first_weight
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.holder import holders
from trivium.errors import ConfigError
from trivium.nn.linear import linear

_DEVIATION = 0.02  # of Q and K
_NOISE = 1e-6  # what V has beside its diagonal


@dataclass(frozen=True, kw_only=True)
class AdapterFusionConfig:
    """What is fused."""

    adapters: tuple[str, ...]
    """Names of the model's bottleneck adapters, at least two; they are frozen, and stay while they are needed."""

    def __post_init__(self) -> None:
        if len(set(self.adapters)) < 2 or len(set(self.adapters)) < len(self.adapters):
            raise ConfigError(
                "a fusion is of at least two adapters, each once", received=", ".join(self.adapters) or "none"
            )


class Fusion(SeatUpdate):
    """Q, K and V of one seat, and the names of the adapters that they weigh."""

    def __init__(self, adapters: tuple[str, ...], width: int, like: Tensor) -> None:
        super().__init__()
        self.adapters = adapters
        self.query = nn.Parameter(like.new_empty(width, width).normal_(std=_DEVIATION))
        self.key = nn.Parameter(like.new_empty(width, width).normal_(std=_DEVIATION))
        self.value = nn.Parameter(torch.eye(width, dtype=like.dtype, device=like.device))
        with torch.no_grad():
            self.value += _NOISE * torch.randn_like(self.value)

    def added(self, x: Float[Tensor, "... D"], seat: AdaptedSeat) -> Float[Tensor, "... D"]:
        said = torch.stack([seat.update(name).added(x, seat) for name in self.adapters], dim=-2)
        looked_for = linear(linear(x, self.query), self.key.t())
        weights = torch.softmax((said * looked_for[..., None, :]).sum(-1, keepdim=True), dim=-2)
        return linear((weights * said).sum(-2), self.value)


def prepare(model: nn.Module, config: AdapterFusionConfig) -> Placing:
    """A fusion for every seat of the adapters. ``ConfigError`` for a name that is no bottleneck adapter of the model,
    and for adapters that stand in different seats."""
    attached, like = adapters_of(model), first_weight(model)
    for name in config.adapters:
        attached.require(name)
        if not isinstance(attached.configs[name], BottleneckConfig):
            raise ConfigError(
                "a fusion is of bottleneck adapters",
                received=f"{name}, {type(attached.configs[name]).__name__}",
                expected="houlsby or pfeiffer",
            )
    seats = {name: [path for path, _ in holders(model, name)] for name in config.adapters}
    first, *others = config.adapters
    for name in others:
        if seats[name] != seats[first]:
            raise ConfigError(
                "adapters that are fused stand in the same seats",
                received=f"{first} in {len(seats[first])}, {name} in {len(seats[name])} that are not all the same",
                fix="train them with the same kind and layers",
            )
    new: list[tuple[AdaptedSeat, Fusion]] = []
    for _, seat in holders(model, first):
        assert isinstance(seat, AdaptedSeat)
        width = next(seat.update(first).parameters()).shape[1]
        new.append((seat, Fusion(config.adapters, width, like)))

    def place(name: str, adapters: AdapterSet) -> None:
        for seat, fusion in new:
            seat.updates[name] = fusion
            for fused in config.adapters:
                seat.update(fused).requires_grad_(False)
        adapters.made_of[name] = config.adapters

    return place
