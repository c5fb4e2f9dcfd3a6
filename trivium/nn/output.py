"""What every model returns from ``forward``."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from trivium.nn.state import State


@dataclass
class Output:
    """The last hidden layer, and what else the call produced."""

    hidden: Float[Tensor, "B T D"]
    """After the final norm; ``model.head`` turns it into logits. Garbage beyond a row's length."""
    state: State | None = None
    """The state to go on with, when one was given."""
    auxiliary: dict[str, Tensor] = field(default_factory=dict)
    """Losses of the architecture's own (load balance of experts), as sums over tokens, already weighted."""
    collected: dict[str, list[Tensor]] = field(default_factory=dict)
    """What ``collect`` asked for, by name, one tensor a layer: "hidden" ``[B, T, D]`` (the input of the
    first block, then the output of each), "attention" ``[B, H, T, S]`` probabilities."""


# FSDP finds the tensors that gradients will come back through by going through the output.
pytree.register_dataclass(Output)
