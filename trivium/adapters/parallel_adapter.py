"""Parallel adapters: f(x) + s W_up act(W_down x + b_down) + s b_up beside a whole sub-layer f (He et al. 2022, "Towards
a Unified View of Parameter-Efficient Transfer Learning", section 3.3 and table 1, "scaled parallel adapter").

Beside a mixture of experts it reads every token, whichever experts the token goes to.
"""

from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.blocks import chosen_blocks, width_of_block
from trivium.adapters.bottleneck import Bottleneck
from trivium.adapters.holder import held, require_place
from trivium.adapters.nonlinear_holder import NonlinearHolder
from trivium.errors import ConfigError
from trivium.nn.feedforward import Activation


@dataclass(frozen=True, kw_only=True)
class ParallelAdapterConfig:
    """Beside what parallel adapters stand, and how wide and how strong they are."""

    width: int = 64
    """Features that each is narrowed to, at most those of the model."""
    beside: Literal["feedforward", "attention"] = "feedforward"
    """The sub-layer whose input it reads and to whose output it adds; the paper finds the feed-forward layer better
    (section 4.4)."""
    scale: float = 4.0
    """s, which multiplies what it adds."""
    learnt_scale: bool = False
    """Train s too, one in each block, from ``scale`` on."""
    activation: Activation = "relu"
    """Non-linearity between the two matrices."""
    layers: tuple[int, ...] | None = None
    """Numbers of the blocks that have one, from 0 (of an encoder-decoder the encoder's first); all by default."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ConfigError("a parallel adapter has at least one feature", received=self.width)
        if not self.scale > 0:
            raise ConfigError("the scale of a parallel adapter is above 0", received=self.scale)


class ParallelUpdate(nn.Module):
    """s times a bottleneck."""

    def __init__(self, bottleneck: Bottleneck, scale: float, learnt: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.scale = nn.Parameter(bottleneck.up.new_full((1,), scale)) if learnt else scale

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        made = self.bottleneck(x)
        return made * (self.scale.to(made.dtype) if isinstance(self.scale, nn.Parameter) else self.scale)


class AdaptedSublayer(NonlinearHolder):
    """A sub-layer of a block, called as its block calls it: its input is the first of what it is given."""

    def forward(self, x: Float[Tensor, "B T D"], *given: Any, **named: Any) -> Float[Tensor, "B T D"]:
        return self.changed(self._with, x, self.base(x, *given, **named))

    def _with(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        return y + self.updates[name](x)


def prepare(model: nn.Module, config: ParallelAdapterConfig) -> Placing:
    """An adapter for every sub-layer. ``Unsupported`` for a model without Transformer blocks, ``ConfigError`` for an
    adapter wider than the model or for blocks that are not there."""
    like = first_weight(model)
    new: dict[str, ParallelUpdate] = {}
    for block in chosen_blocks(model, config.layers, "a parallel adapter"):
        bottleneck = Bottleneck(width_of_block(model, block), config.width, config.activation, like)
        path = f"blocks.{block}.{config.beside}"
        require_place(model, path, AdaptedSublayer)
        new[path] = ParallelUpdate(bottleneck, config.scale, config.learnt_scale)

    def place(name: str, adapters: AdapterSet) -> None:
        for path, update in new.items():
            layer = held(model, path, AdaptedSublayer, lambda base: AdaptedSublayer(base, adapters.routing))
            layer.updates[name] = update

    return place
