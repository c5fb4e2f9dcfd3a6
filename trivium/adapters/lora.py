"""LoRA: h = W x + (alpha / R) B A x with W frozen (Hu et al. 2022, section 4.1).

On a base in NF4 this is QLoRA (Dettmers et al. 2023, eq. 5).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import Factors, LinearUpdate
from trivium.adapters.sites import Choice, Site
from trivium.errors import ConfigError, Unsupported
from trivium.nn.linear import linear
from trivium.nn.quantized import NF4Linear

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Where low-rank updates go and how large they are."""

    rank: int = 8
    """Rank R of each update, at most the smaller side of its matrix."""
    alpha: float = 16.0
    """Updates are multiplied by alpha / R."""
    rank_stabilised: bool = False
    """Multiply by alpha / sqrt(R) instead (Kalajdzievski 2023, eq. 3)."""
    decomposed: bool = False
    """DoRA: the length of each row of W is learnt apart from its direction (Liu et al. 2024, eq. 5)."""
    start: Literal["zero", "gaussian", "pissa"] = "zero"
    """zero: A is Kaiming-uniform and B zero; gaussian: A has deviation 1 / R and B is zero; pissa: A and B are the
    largest singular directions of W, which they then stand for (Meng et al. 2024, eq. 2 to 4)."""
    dropout: float = 0.0
    """Dropout on the input of each update."""
    bias: bool = False
    """Each update has a bias of its own too."""
    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    """Published names of the layers: endings such as ``q_proj``, ``mlp.c_proj``, ``embed_tokens`` or ``lm_head``, one
    regular expression for the whole name, or ``all-linear``: all but embeddings, output head and experts."""
    parameters: tuple[str, ...] = ()
    """Endings of the names of stacked experts, such as ``mlp.experts.gate_up_proj``: every expert gets an update."""
    exclude: tuple[str, ...] | str = ()
    """Endings, or one regular expression: what is left out of the targets."""
    layers: tuple[int, ...] = ()
    """Numbers of the blocks that get updates; none given: all."""
    rank_pattern: dict[str, int] = field(default_factory=dict)
    """Other ranks for some layers, by ending or regular expression of it; the first that fits counts."""
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    """The same for alpha."""

    def __post_init__(self) -> None:
        if min([self.rank, *self.rank_pattern.values()]) < 1:
            raise ConfigError("the rank of a LoRA must be at least 1", received=self.rank)
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout must be at least 0 and below 1", received=self.dropout)
        if self.decomposed and (self.bias or self.start == "pissa"):
            raise ConfigError(
                "DoRA goes with neither a bias nor the start pissa",
                received=f"bias {self.bias}, start {self.start}",
                fix="choose one of them",
            )

    @property
    def choice(self) -> Choice:
        """Where it goes."""
        return Choice(targets=self.targets, parameters=self.parameters, exclude=self.exclude, layers=self.layers)

    @property
    def scale(self) -> float:
        """What B A is multiplied by, where no pattern says otherwise."""
        return self._scale(self.alpha, self.rank)

    def _scale(self, alpha: float, rank: int) -> float:
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    def size(self, site: Site) -> tuple[int, float]:
        """Rank and scale at a site; ``ConfigError`` where the rank is larger than the matrix."""
        rank = _by_pattern(self.rank_pattern, site.theirs, self.rank)
        if rank > min(site.rows, site.width):
            raise ConfigError(
                f"the rank is larger than the matrix {site.theirs}",
                received=f"rank {rank}",
                expected=f"at most {min(site.rows, site.width)}, the smaller side of {site.rows} x {site.width}",
                fix="choose a smaller rank, or train the matrix itself",
            )
        return rank, self._scale(_by_pattern(self.alpha_pattern, site.theirs, self.alpha), rank)


def _by_pattern(patterns: Mapping[str, Number], name: str, otherwise: Number) -> Number:
    try:
        return next((n for p, n in patterns.items() if re.fullmatch(rf"(.*\.)?({p})", name)), otherwise)
    except re.error as error:
        raise ConfigError("a pattern is no regular expression", received=list(patterns), expected=str(error)) from error


def without_bias(theirs: str) -> Unsupported:
    """The error for merging an update with a bias into a layer that has none."""
    return Unsupported(
        "an update with a bias cannot be merged into a layer without one",
        received=theirs,
        fix="train the LoRA without a bias",
    )


def draw(a: Float[Tensor, "R D"], start: str) -> None:
    """Fill A as ``nn.Linear`` is drawn (Kaiming uniform with slope sqrt 5, as the authors' code does), or normally."""
    if start == "gaussian":
        nn.init.normal_(a, std=1 / a.shape[0])
    else:
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))


class LowRankUpdate(LinearUpdate):
    """scale * B A on the rows of one published matrix; B begins as zero, so that a new adapter changes nothing."""

    changes_inputs = False

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor) -> None:
        super().__init__(site)
        rank, self.scale = config.size(site)
        self.A = nn.Parameter(like.new_empty(rank, site.width))
        self.B = nn.Parameter(like.new_zeros(site.rows, rank))
        self.bias = nn.Parameter(like.new_zeros(site.rows)) if config.bias else None
        self.dropout = nn.Dropout(config.dropout)
        draw(self.A, config.start)

    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x

    def factors(self) -> Factors | None:
        if self.bias is not None or (self.training and self.dropout.p > 0):
            return None
        return self.A, self.B * self.scale

    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        return y + linear(linear(self.dropout(x), self.A), self.B, self.bias) * self.scale

    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        if self.bias is None:
            return weight + self.matrix(weight.dtype), bias
        if bias is None:
            raise without_bias(self.theirs)
        return weight + self.matrix(weight.dtype), bias + self.bias.to(bias.dtype) * self.scale

    def matrix(self, dtype: torch.dtype) -> Float[Tensor, "F D"]:
        """The update as a full matrix, multiplied in ``dtype``."""
        return self.B.to(dtype) @ self.A.to(dtype) * self.scale
