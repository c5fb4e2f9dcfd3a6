"""How the modular decoder tells where a token stands: one module a way, which answers once a forward pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from trivium.models.modular_config import ModularConfig
from trivium.nn.attention.kernel import Bias
from trivium.nn.attention.layout import Layout
from trivium.nn.positions.alibi import alibi
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.positions.relative import RelativeBias
from trivium.nn.positions.rope import Rotary
from trivium.nn.positions.sinusoidal import SinusoidalPositions

_SINUSOID_SIZE = 0.02  # as the vectors of tokens begin


@dataclass(frozen=True)
class Located:
    """The places of one forward pass, in whichever way they are told."""

    vectors: Float[Tensor, "_ T D"] | None = None
    """Added to the embeddings."""
    rotation: Float[Tensor, "2 _ T 1 _"] | None = None
    """Queries and keys are turned by it."""
    bias: Bias | None = None
    """Added to the scores."""


class Nowhere(nn.Module):
    """No places, or none but those that each layer tells by itself."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()

    def forward(self, layout: Layout, x: Tensor) -> Located:
        return Located()


class LearnedPlaces(nn.Module):
    """A learned vector a position."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.table = LearnedPositions(config.context_tokens, config.width)

    def forward(self, layout: Layout, x: Tensor) -> Located:
        return Located(vectors=self.table(layout.positions))


class SinusoidalPlaces(nn.Module):
    """Sines and cosines, made small: they would drown the vectors of the tokens."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.sinusoid = SinusoidalPositions(config.width)

    def forward(self, layout: Layout, x: Tensor) -> Located:
        return Located(vectors=_SINUSOID_SIZE * self.sinusoid(layout.positions, x.dtype))


class Turned(nn.Module):
    """Rotations of queries and keys."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        turning = config.rope.turning_width(config.width_of_head)
        self.rotary = Rotary(config.rope, turning, config.context_tokens)

    def forward(self, layout: Layout, x: Tensor) -> Located:
        return Located(rotation=self.rotary(layout.positions, x.dtype, layout.reach))


class Slopes(nn.Module):
    """ALiBi."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.heads = config.heads

    def forward(self, layout: Layout, x: Tensor) -> Located:
        return Located(bias=alibi(self.heads, x))


class Buckets(nn.Module):
    """T5's bias, one table for all layers."""

    def __init__(self, config: ModularConfig) -> None:
        super().__init__()
        self.relative = RelativeBias(config.heads, config.buckets, config.furthest_tokens, bidirectional=False)
        self.all_keys = config.attention == "full"

    def forward(self, layout: Layout, x: Tensor) -> Located:
        # What is made once for all layers are the scores of all keys.
        return Located(bias=self.relative.shared(layout) if self.all_keys else self.relative)


PLACES: Mapping[str, Callable[[ModularConfig], nn.Module]] = {
    "learned": LearnedPlaces,
    "sinusoidal": SinusoidalPlaces,
    "rope": Turned,
    "alibi": Slopes,
    "t5": Buckets,
    "shaw": Nowhere,
    "transformer_xl": Nowhere,
    "none": Nowhere,
}
"""Each is called as ``place(layout, embedded)`` and gives what is `Located`."""
