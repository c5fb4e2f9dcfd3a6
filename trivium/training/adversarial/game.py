"""What one adversarial method is made of; `trivium.training.learners.adversarial` plays it."""

from collections.abc import Iterator
from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

from trivium.data.batches import Batch
from trivium.objectives.loss import Loss
from trivium.training.adversarial.texts import Texts

RealIn = TypeVar("RealIn", bound=Batch, contravariant=True)


@runtime_checkable
class Game(Protocol[RealIn]):
    """A generator, a discriminator, and what each of them is to learn from the other.

    Each row of a real batch is one whole text: `tokens[:, 0]` starts it and `targets` are its tokens; a game may play
    on pairs as well, whose targets are the texts. `step` counts from 0 the steps that are over: what is annealed goes
    by it, so that a game keeps no count of its own.
    """

    @property
    def generator(self) -> nn.Module:
        """What writes."""
        ...

    @property
    def discriminator(self) -> nn.Module:
        """What tells the written from the real."""
        ...

    def modules(self) -> dict[str, nn.Module]:
        """What is to be saved beside the two, and is not trained by an optimiser."""
        ...

    def sampled(self, real: RealIn, step: int) -> Texts:
        """As many texts as there are real ones, for the discriminator; no gradient goes through them."""
        ...

    def against(self, real: RealIn, written: Texts) -> Loss:
        """What the discriminator is to make small. The metric "correct" is what it tells rightly, by the count."""
        ...

    def written(self, real: RealIn, step: int) -> Iterator[Loss]:
        """What the generator is to make small, on texts of its own, as one update in as many parts as there are."""
        ...

    def ended(self) -> None:
        """A step is over: what lags behind moves on."""
        ...
