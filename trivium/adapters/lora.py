"""LoRA: h = W x + (alpha / R) B A x with W frozen (Hu et al. 2022, section 4.1).

On an ``NF4Linear`` base this is QLoRA (Dettmers et al. 2023, eq. 5).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import LinearUpdate, adapted_linear
from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.sites import Site, match
from trivium.errors import ConfigError
from trivium.nn.linear import linear
from trivium.nn.quantized import NF4Linear


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Where low-rank updates go and how large they are."""

    rank: int = 8
    """Rank R of each update, at most the smaller side of its matrix."""
    alpha: float = 16.0
    """Updates are multiplied by alpha / R."""
    rank_stabilised: bool = False
    """Multiply by alpha / sqrt(R) instead (Kalajdzievski 2023, eq. 3)."""
    dropout: float = 0.0
    """Dropout on the input of each update."""
    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    """Published names of the layers: endings such as ``q_proj`` or ``mlp.c_proj``, one regular expression for the
    whole name, or ``all-linear``."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError("the rank of a LoRA must be at least 1", received=self.rank)
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class LowRankUpdate(LinearUpdate):
    """scale * B A on the rows of one published matrix.

    A is drawn as ``nn.Linear`` draws (Kaiming uniform with slope sqrt 5, as the authors' code does), B is zero: the
    first step starts from the unchanged model.
    """

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor) -> None:
        super().__init__(site)
        if config.rank > min(site.rows, site.width):
            raise ConfigError(
                f"the rank is larger than the matrix {site.theirs}",
                received=f"rank {config.rank}",
                expected=f"at most {min(site.rows, site.width)}, the smaller side of {site.rows} x {site.width}",
                fix="choose a smaller rank, or train the matrix itself",
            )
        self.scale = config.scale
        self.A = nn.Parameter(like.new_empty(config.rank, site.width))
        self.B = nn.Parameter(like.new_zeros(site.rows, config.rank))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x

    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        return y + linear(linear(self.dropout(x), self.A), self.B) * self.scale

    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        return weight + self.matrix(weight.dtype), bias

    def matrix(self, dtype: torch.dtype) -> Float[Tensor, "F D"]:
        """The update as a full matrix, multiplied in ``dtype``."""
        return self.B.detach().to(dtype) @ self.A.detach().to(dtype) * self.scale


def prepare(model: nn.Module, config: LoRAConfig) -> Placing:
    """Updates for every layer that the targets name. ``ConfigError`` as ``sites.match`` and for too large a rank."""
    like = first_weight(model)
    updates = [(site, LowRankUpdate(site, config, like)) for site in match(model, config.targets)]

    def place(name: str, adapters: AdapterSet) -> None:
        for site, update in updates:
            adapted_linear(model, site.ours, adapters).add(name, update)

    return place
