"""The one thing every objective returns: a sum and a true count, divided once, at the very end.

Averaging means of micro-batches or of ranks weighs short ones too heavily (the accumulation bug of
transformers #34191). A sum and a count cannot be averaged wrongly.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from trivium.nn.state import State


@dataclass
class Loss:
    """Sum over the trained positions, and how many there are."""

    total: Float[Tensor, ""]
    """Summed loss, attached to the graph."""
    count: Float[Tensor, ""]
    """Number of positions (or examples) summed over, as a float tensor."""
    auxiliary: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Further losses, each a sum over the same count and already weighted; the learner adds them to ``total``."""
    metrics: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Detached sums over the same count, to be reported divided by it."""
    state: State | None = None
    """What truncated back-propagation carries to the next batch."""
