"""The output head under low-rank updates: logits of (W + s B A) h, in the chunks of the head itself."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Routing
from trivium.adapters.holder import Holder, held
from trivium.adapters.lora import LowRankUpdate
from trivium.errors import Unsupported
from trivium.nn.head import OutputHead
from trivium.nn.linear import linear


class AdaptedHead(Holder):
    """A frozen output head, its matrix its own, and the updates of any number of adapters.

    A call is one of the head with the matrix [W, s B] for [h, A h], which is formed for it: the chunked losses of
    `OutputHead` then hold as they are.
    """

    def __init__(self, base: OutputHead, routing: Routing) -> None:
        super().__init__(base, routing)
        self.base: OutputHead = base
        self.unmerged: OutputHead | None = None

    def add(self, name: str, update: LowRankUpdate) -> None:
        """The part of the adapter ``name``."""
        self.updates[name] = update

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
        smoothing: float | None = None,
        normaliser: bool = False,
    ) -> Float[Tensor, "..."]:
        """As `OutputHead`. ``Unsupported`` for a sum over rows that have different adapters."""
        routing = self.routing
        if routing.rows is None:
            name = routing.active
            plain = name is None or name not in self.updates or name == routing.merged
            return self._of(None if plain else name, hidden, targets, weights, reduce, smoothing, normaliser)
        names = {name: index.shape[0] for name, index in routing.rows.items() if name in self.updates and len(index)}
        if not names or routing.extent in names.values():
            return self._of(next(iter(names), None), hidden, targets, weights, reduce, smoothing, normaliser)
        if reduce or normaliser:
            raise Unsupported(
                "one loss of rows whose output heads have different adapters",
                received=", ".join(sorted(names)),
                fix="train one adapter at a time: activate(model, name)",
            )
        given = (hidden,) if targets is None else (hidden, targets)
        return self.changed(lambda name, *rows: self._of(name, *rows[:-1]), *given, self.base(*given))

    logits = OutputHead.logits
    log_prob = OutputHead.log_prob
    nll_sum = OutputHead.nll_sum
    log_normaliser = OutputHead.log_normaliser
    smoothed_nll_sum = OutputHead.smoothed_nll_sum

    def _of(self, name: str | None, hidden: Tensor, *given: object) -> Tensor:
        """The head as one adapter has it, or the base's."""
        if name is None:
            return self.base(hidden, *given)
        update = self._update(name)
        inner = linear(update.dropout(hidden), update.A)
        weight = torch.cat([self.base.weight, update.B * update.scale], dim=1)
        return torch.func.functional_call(self.base, {"weight": weight}, (torch.cat([hidden, inner], dim=-1), *given))

    def _update(self, name: str) -> LowRankUpdate:
        update = self.updates[name]
        assert isinstance(update, LowRankUpdate)
        return update

    @torch.no_grad()
    def merge(self, name: str) -> None:
        """Fold the update into the matrix, in fp32 at least; the old one is kept."""
        assert self.unmerged is None
        old = self.base
        wide = torch.promote_types(old.weight.dtype, torch.float32)
        weight = self._update(name).merged(old.weight.to(wide), None)[0].to(old.weight.dtype)
        with torch.device("meta"):
            merged = OutputHead(weight.shape[1], weight.shape[0], scale=old.scale, soft_cap=old.soft_cap)
        merged.weight, merged.bias = nn.Parameter(weight, requires_grad=False), old.bias
        self.base, self.unmerged = merged, old

    def unmerge(self) -> None:
        assert self.unmerged is not None
        self.base, self.unmerged = self.unmerged, None


def adapted_head(model: nn.Module, path: str, adapters: AdapterSet) -> AdaptedHead:
    """The output head at ``path``, wrapped."""

    def wrapped(module: nn.Module) -> Holder:
        assert isinstance(module, OutputHead)
        return AdaptedHead(module, adapters.routing)

    layer = held(model, path, AdaptedHead, wrapped)
    assert isinstance(layer, AdaptedHead)
    return layer
