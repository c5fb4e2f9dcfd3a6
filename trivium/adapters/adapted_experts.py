"""The stacked matrices of experts under low-rank updates: W_e + s B_e A_e, a pair of factors an expert."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Routing
from trivium.adapters.holder import Holder, held
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import Site
from trivium.errors import Unsupported
from trivium.nn.experts import GroupedLinear, Grouping, grouped_linear
from trivium.nn.linear import linear
from trivium.nn.quantized_experts import NF4GroupedLinear, unpacked_experts


class ExpertsUpdate(nn.Module):
    """scale * B_e A_e for every expert; B begins as zero, and each A as that of a linear layer."""

    def __init__(self, site: Site, config: LoRAConfig, like: Tensor) -> None:
        super().__init__()
        self.theirs = site.theirs
        rank, self.scale = config.size(site)
        self.A = nn.Parameter(like.new_empty(site.experts, rank, site.width))
        self.B = nn.Parameter(like.new_zeros(site.experts, site.rows, rank))
        if config.start == "gaussian":
            nn.init.normal_(self.A, std=1 / rank)
        else:  # the bounds of Kaiming's uniform draw with slope sqrt 5, of one expert's matrix
            nn.init.uniform_(self.A, -1 / math.sqrt(site.width), 1 / math.sqrt(site.width))

    def forward(self, rows: Float[Tensor, "M K"], sizes: list[int]) -> Float[Tensor, "M N"]:
        """What is added for rows sorted by expert, ``sizes[e]`` of them for expert e."""
        return grouped_linear(grouped_linear(rows, self.A, None, sizes), self.B * self.scale, None, sizes)

    def of(self, expert: int, rows: Float[Tensor, "M K"]) -> Float[Tensor, "M N"]:
        """What one expert adds for ``rows``."""
        return linear(linear(rows, self.A[expert]), self.B[expert] * self.scale)


class AdaptedExperts(Holder):
    """The frozen matrices of experts and the updates of any number of adapters."""

    def __init__(self, base: GroupedLinear | NF4GroupedLinear, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: GroupedLinear | NF4GroupedLinear = base
        self.unmerged: GroupedLinear | NF4GroupedLinear | None = None

    def add(self, name: str, update: ExpertsUpdate) -> None:
        """The part of the adapter ``name``."""
        self.updates[name] = update

    def forward(self, rows: Float[Tensor, "M K"], grouping: Grouping) -> Float[Tensor, "M N"]:
        """As `GroupedLinear`."""
        y = self.base(rows, grouping)
        if self.routing.rows is None:
            return y if self._active() is None else y + self._update(self._active())(rows, grouping.sizes)
        places = self._places(grouping)
        if not places:
            return y
        result = y.clone()
        for name, (index, sizes) in places.items():
            result = result.index_add(0, index, self._update(name)(rows[index], sizes).to(result.dtype))
        return result

    def of(self, expert: int, rows: Float[Tensor, "1 K"]) -> Float[Tensor, "1 N"]:
        """As `GroupedLinear`, for the only token there is."""
        y, name = self.base.of(expert, rows), self._active()
        if self.routing.rows is not None:
            names = [name for name, index in self.routing.rows.items() if name in self.updates and index.shape[0]]
            assert len(names) < 2, "one token has one adapter"
            name = names[0] if names else None
        return y if name is None else y + self._update(name).of(expert, rows)

    def _active(self) -> str | None:
        """The adapter of all rows, while none are routed."""
        name = self.routing.active
        return None if name is None or name not in self.updates or name == self.routing.merged else name

    def _update(self, name: str | None) -> ExpertsUpdate:
        assert name is not None
        update = self.updates[name]
        assert isinstance(update, ExpertsUpdate)
        return update

    def _places(self, grouping: Grouping) -> dict[str, tuple[Tensor, list[int]]]:
        """Of each routed adapter that has some of the sorted rows: which, and how many for each expert."""
        routing, tokens = self.routing, grouping.tokens
        assert routing.rows is not None
        each = 1 if routing.ragged else grouping.count // routing.extent
        if each * routing.extent != grouping.count:
            raise Unsupported(
                "experts under adapters that see other rows than those that were routed",
                received=f"{grouping.count} tokens",
                expected=f"{routing.extent} {'tokens' if routing.ragged else 'equally long rows'}",
            )
        stops = torch.tensor(grouping.sizes, device=tokens.device).cumsum(0)
        numbers = torch.bucketize(torch.arange(tokens.shape[0], device=tokens.device), stops, right=True)
        found = {}
        for name, rows in routing.rows.items():
            if name in self.updates and rows.shape[0]:
                index = torch.isin(tokens // each, rows).nonzero()[:, 0]
                sizes = torch.bincount(numbers[index], minlength=stops.shape[0]).tolist()[: stops.shape[0]]
                found[name] = index, sizes
        return found

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Fold the update into the matrices, in fp32 at least; in NF4 they become full ones, as those of a layer do."""
        assert self.unmerged is None
        old, update = self.base, self._update(name)
        dtype = update.A.dtype if isinstance(old, NF4GroupedLinear) else old.weight.dtype
        wide = torch.promote_types(dtype, torch.float32)
        if isinstance(old, NF4GroupedLinear):
            merged = unpacked_experts(old, wide)
        else:
            merged = GroupedLinear(0, 0, 0)
            merged.experts, merged.inputs, merged.outputs = old.experts, old.inputs, old.outputs
            merged.weight = nn.Parameter(old.weight.to(wide, copy=True))
        merged.bias = old.bias
        merged.weight.baddbmm_(update.B.to(wide), update.A.to(wide), alpha=update.scale)
        merged.weight = nn.Parameter(merged.weight.to(dtype), requires_grad=False)
        self.base, self.unmerged = merged, old

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None


def adapted_experts(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedExperts:
    """The stacked matrices at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, GroupedLinear | NF4GroupedLinear)
        return AdaptedExperts(module, adapters.routing)

    layer = held(model, path, AdaptedExperts, wrapped)
    assert isinstance(layer, AdaptedExperts)
    return layer
