"""Bottleneck adapters: h + W_up act(W_down h + b_down) + b_up after a sub-layer, before it is added to its input.

Houlsby et al. 2019, section 2: two in each block, after attention and after the feed-forward layer. Pfeiffer et al.
2021, "AdapterFusion": the second alone. A new one changes nothing, because W_up and b_up are zero; the papers draw
them so small that it changes almost nothing.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_seat import AdaptedSeat, SeatUpdate
from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.blocks import chosen_blocks, width_of_block
from trivium.adapters.holder import held
from trivium.errors import ConfigError
from trivium.nn.feedforward import ACTIVATIONS, Activation
from trivium.nn.linear import linear

BottleneckKind = Literal["houlsby", "pfeiffer"]
SEATS: dict[BottleneckKind, tuple[str, ...]] = {
    "houlsby": ("after_attention", "after_feedforward"),
    "pfeiffer": ("after_feedforward",),
}
"""Where a block has one."""
_DEVIATION = 0.01  # of W_down, Houlsby et al. 2019, section 3.6


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    """Where bottlenecks stand and how narrow they are."""

    kind: BottleneckKind = "houlsby"
    """Two a block, after attention and after the feed-forward layer (houlsby), or the second alone (pfeiffer)."""
    width: int = 64
    """Features that each is narrowed to, at most those of the model."""
    activation: Activation = "gelu"
    """Non-linearity between the two matrices."""
    layers: tuple[int, ...] | None = None
    """Numbers of the blocks that have them, from 0 (of an encoder-decoder the encoder's first); all by default."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError("a bottleneck has at least one feature", received=self.width)


class Bottleneck(SeatUpdate):
    """W_up act(W_down x + b_down) + b_up; zero when it is new."""

    def __init__(self, width: int, inner_width: int, activation: Activation, like: Tensor) -> None:
        super().__init__()
        if inner_width > width:
            raise ConfigError(
                "the bottleneck is wider than the model",
                received=f"width {inner_width}",
                expected=f"at most {width}, the width of the model",
                fix=f"set a smaller width, such as {max(1, width // 8)}",
            )
        self.down = nn.Parameter(like.new_empty(inner_width, width))
        self.down_bias = nn.Parameter(like.new_zeros(inner_width))
        self.up = nn.Parameter(like.new_zeros(width, inner_width))
        self.up_bias = nn.Parameter(like.new_zeros(width))
        self.activation: Activation = activation
        nn.init.normal_(self.down, std=_DEVIATION)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return linear(ACTIVATIONS[self.activation](linear(x, self.down, self.down_bias)), self.up, self.up_bias)

    def added(self, x: Float[Tensor, "... D"], seat: AdaptedSeat) -> Float[Tensor, "... D"]:
        return self(x)


def prepare(model: nn.Module, config: BottleneckConfig) -> Placing:
    """A bottleneck for every seat. ``Unsupported`` for a model without seats, ``ConfigError`` for one that is wider
    than the model or for blocks that are not there."""
    like = first_weight(model)
    new: dict[str, Bottleneck] = {}
    for block in chosen_blocks(model, config.layers, "a bottleneck"):
        for seat in SEATS[config.kind]:
            width = width_of_block(model, block)
            new[f"blocks.{block}.{seat}"] = Bottleneck(width, config.width, config.activation, like)

    def place(name: str, adapters: AdapterSet) -> None:
        for path, bottleneck in new.items():
            held(model, path, AdaptedSeat, lambda seat: AdaptedSeat(seat, adapters.routing)).updates[name] = bottleneck

    return place
