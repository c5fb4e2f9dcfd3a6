"""The output head under adapters: it is called for logits and for losses, and a loss is of rows that have one head."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor

from trivium.adapters.holder import Holder
from trivium.errors import Unsupported
from trivium.nn.head import OutputHead


class HeadHolder(Holder, ABC):
    """A frozen output head and what any number of adapters have of it or in its place."""

    @abstractmethod
    def said(self, name: str | None, hidden: Float[Tensor, "... D"], *given: object) -> Float[Tensor, "..."]:
        """What the head of the adapter ``name`` answers, or the base's: a call of `OutputHead`."""

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
        smoothing: float | None = None,
        normaliser: bool = False,
        temperature: float = 1.0,
    ) -> Float[Tensor, "..."]:
        """As `OutputHead`. ``Unsupported`` for a sum over rows that have different heads."""
        routing, options = self.routing, (weights, reduce, smoothing, normaliser, temperature)
        if routing.rows is None:
            name = routing.active
            plain = name is None or name not in self.updates or name == routing.merged
            return self.said(None if plain else name, hidden, targets, *options)
        counts = {name: len(index) for name, index in routing.rows.items() if name in self.updates and len(index)}
        if not counts or routing.extent in counts.values():
            return self.said(next(iter(counts), None), hidden, targets, *options)
        if reduce or normaliser:
            raise Unsupported(
                "one loss of rows that have different output heads",
                received=", ".join(sorted(counts)),
                fix="train one adapter at a time: activate(model, name)",
            )
        given = (hidden,) if targets is None else (hidden, targets)
        plain = self.base(*given, temperature=temperature)
        none = (None,) * (2 - len(given))
        return self.changed(lambda name, *rows: self.said(name, *rows[:-1], *none, *options), *given, plain)

    logits = OutputHead.logits
    log_prob = OutputHead.log_prob
    nll_sum = OutputHead.nll_sum
    log_normaliser = OutputHead.log_normaliser
    smoothed_nll_sum = OutputHead.smoothed_nll_sum
