"""What the trainer asks of a learner."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Learner(Protocol):
    """Owns the mathematics of one update and everything that it changes, and knows nothing of time or files."""

    model: nn.Module
    """The network that is published: saved as a model folder under its own configuration."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be learnt, whatever steps are left; the same on every process."""
        ...

    def step(self, batch: Any) -> dict[str, float]:
        """One update on this process's share of the global batch.

        Returns `loss` (mean over the trained positions of all processes), `tokens` (their number), `learning_rate`,
        `gradient_norm` (before clipping), `skipped` (1.0 when a loss or gradient was not finite and nothing was
        changed, else 0.0), and the objective's own metrics. Raises `NonFiniteError` after too many skips in a row.
        """
        ...

    def evaluate(self, batch: Any) -> tuple[float, float]:
        """Sum of losses over this process's share, and the count it is divided by. Changes nothing: no random
        number is drawn."""
        ...

    def heed(self, validation_loss: float) -> None:
        """Told the mean validation loss after every evaluation, the same on every process."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """The full state dict to publish under `model`'s names (an average of the weights, where one is kept).

        Every process calls it together; what is returned counts on the first only.
        """
        ...

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a later process needs to go on, as tensors and JSON, the weights among them. Every process calls
        it together; what is returned counts on the first only."""
        ...

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave, with the same number of processes or another."""
        ...
