"""LoRA: h = W x + (alpha / R) B A x with W frozen (Hu et al. 2022, section 4.1).

On an ``NF4Linear`` base this is QLoRA (Dettmers et al. 2023, eq. 5). One fused matrix of ours may hold several
published ones (q, k, v): each update covers a range of its output rows.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import Routing
from trivium.errors import ConfigError
from trivium.nn.linear import Linear, linear
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


class LowRankUpdate(nn.Module):
    """scale * B A for the output rows ``start : start + F`` of one matrix.

    A is drawn as ``nn.Linear`` draws (Kaiming uniform with slope sqrt 5, as the authors' code does), B is zero: the
    first step starts from the unchanged model.
    """

    def __init__(self, theirs: str, start: int, rows: int, width: int, config: LoRAConfig, like: Tensor) -> None:
        super().__init__()
        if config.rank > min(rows, width):
            raise ConfigError(
                f"the rank is larger than the matrix {theirs}",
                received=f"rank {config.rank}",
                expected=f"at most {min(rows, width)}, the smaller side of {rows} x {width}",
                fix="choose a smaller rank, or train the matrix itself",
            )
        self.theirs, self.start, self.rows, self.scale = theirs, start, rows, config.scale
        self.A = nn.Parameter(like.new_empty(config.rank, width))
        self.B = nn.Parameter(like.new_zeros(rows, config.rank))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        return linear(linear(self.dropout(x), self.A), self.B) * self.scale

    def matrix(self, dtype: torch.dtype) -> Float[Tensor, "F D"]:
        """The update as a full matrix, multiplied in ``dtype``."""
        return self.B.detach().to(dtype) @ self.A.detach().to(dtype) * self.scale


class LoRALinear(nn.Module):
    """A frozen linear layer and the low-rank updates of any number of adapters."""

    def __init__(self, base: nn.Linear | NF4Linear, routing: Routing) -> None:
        super().__init__()
        self.base: nn.Linear | NF4Linear = base
        self.unmerged: nn.Linear | NF4Linear | None = None
        self.updates = nn.ModuleDict()
        self.routing = routing
        self.in_features, self.out_features = base.in_features, base.out_features

    def add(self, name: str, update: LowRankUpdate) -> None:
        """One more range of rows for the adapter ``name``."""
        if name not in self.updates:
            self.updates[name] = nn.ModuleList()
        updates = self.updates[name]
        assert isinstance(updates, nn.ModuleList)
        updates.append(update)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        y = self.base(x)
        routing = self.routing
        if routing.rows is None:
            if routing.active is None or routing.active not in self.updates or routing.active == routing.merged:
                return y
            return self._updated(routing.active, x, y)
        rows_of_x, rows_of_y = (x[0], y[0]) if routing.ragged else (x, y)
        assert x.shape[0] == (1 if routing.ragged else routing.extent) and rows_of_x.shape[0] == routing.extent, (
            f"{routing.extent} rows are routed, the layer was given {list(x.shape)}"
        )
        changed = rows_of_y.clone()  # autograd forbids writing into what a custom Function returned
        for name, index in routing.rows.items():
            if name in self.updates:
                changed.index_copy_(0, index, self._updated(name, rows_of_x[index], rows_of_y[index]))
        return changed.view_as(y)

    def _updated(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """``y`` plus the updates of one adapter, whose row ranges ascend: one new tensor, however many there are."""
        pieces, position = [], 0
        for update in self._updates_of(name):
            assert update.start >= position
            pieces.append(y[..., position : update.start])
            position = update.start + update.rows
            pieces.append(y[..., update.start : position] + update(x))
        return torch.cat([*pieces, y[..., position:]], dim=-1)

    def _updates_of(self, name: str) -> list[LowRankUpdate]:
        return [update for update in self.updates[name].children() if isinstance(update, LowRankUpdate)]

    def merge(self, name: str) -> None:
        """Fold the adapter's updates into the weight: W + scale * B A in fp32 (or fp64, where W is), then rounded once.

        The old weight is kept beside it, so that ``unmerge`` gives it back bit for bit. An NF4 base becomes a full
        matrix in the adapter's dtype: rounding the sum to 4 bits again would lose most of the update.
        """
        assert self.unmerged is None
        updates = self._updates_of(name)
        old, dtype = self.base, updates[0].A.dtype
        if isinstance(old, NF4Linear):
            weight = old.weight_in(_wide(dtype))
        else:
            dtype = old.weight.dtype
            weight = old.weight.detach().to(_wide(dtype), copy=True)
        for update in updates:
            weight[update.start : update.start + update.rows] += update.matrix(weight.dtype)
        merged = Linear(self.in_features, self.out_features, bias=False, device="meta")
        merged.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
        merged.bias = old.bias
        self.base, self.unmerged = merged, old

    def unmerge(self) -> None:
        """Put the weight from before ``merge`` back."""
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
