"""A block's places for adapters, ``after_attention`` and ``after_feedforward``, with what stands in them."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.nonlinear_holder import NonlinearHolder


class SeatUpdate(nn.Module, ABC):
    """What one adapter has in one seat."""

    @abstractmethod
    def added(self, x: Float[Tensor, "... D"], seat: "AdaptedSeat") -> Float[Tensor, "... D"]:
        """What is added to what the sub-layer gives, ``x``; ``seat`` has the parts of the other adapters too."""


class AdaptedSeat(NonlinearHolder):
    """One seat of one block."""

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.changed(self._with, self.base(x))

    def update(self, name: str) -> SeatUpdate:
        """What the adapter ``name`` has here."""
        found = self.updates[name]
        assert isinstance(found, SeatUpdate)
        return found

    def _with(self, name: str, x: Tensor) -> Tensor:
        return x + self.update(name).added(x, self)
