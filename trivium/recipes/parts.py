"""What `modular` is built of, on the command line and in recipes; other architectures are what their papers say."""

import dataclasses
from typing import Any, Literal

from trivium.models.modular_config import Attention, MemoryConfig, MixtureConfig, PatternConfig, Positions


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartsConfig:
    """The parts of modular; each null for its default. What they are, docs/decoders.md tells."""

    positions: Positions | None = None
    """How a token's place is told."""
    attention: Attention | None = None
    """Which earlier tokens are looked at."""
    pattern: PatternConfig = dataclasses.field(default_factory=PatternConfig)
    """Which those are, where they are not all."""
    feedforward: Literal["plain", "gated", "experts"] | None = None
    """Two matrices, three of which one is a gate, or experts."""
    mixture: MixtureConfig = dataclasses.field(default_factory=MixtureConfig)
    """The experts."""
    memory: MemoryConfig = dataclasses.field(default_factory=MemoryConfig)
    """Product-key memories in the place of feed-forward layers."""
    norm: Literal["layer", "rms"] | None = None
    """What stands before each sub-block."""
    parallel: bool | None = None
    """Whether attention and feed-forward layer read the same."""
    qk_norm: bool | None = None
    """Whether queries and keys are normed."""
    soft_cap: float | None = None
    """A bound of the scores."""
    sinks: bool | None = None
    """Whether a head may look at nothing."""

    @property
    def given(self) -> dict[str, Any]:
        """Those that are asked for, under the names that they have in the configuration of the network."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def changed(self) -> list[str]:
        """The names of those that are not as they are usually."""
        usual = PartsConfig()
        return [name for name, value in vars(self).items() if value != getattr(usual, name)]
