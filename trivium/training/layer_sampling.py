"""LISA: a few blocks at a time, chosen by chance, embeddings and head always (Pan et al. 2024, algorithm 1).

Every K updates gamma of the blocks are drawn, and only they, the embeddings and the head are trained; the others are
frozen, so that they need neither gradients nor moments: optimisers forget the moments of what is frozen
(`Optimisers.step`), which the paper leaves open, and a block that is drawn again begins anew. Which blocks train is a
function of the seed and the step alone, so that a run that is resumed knows it without having saved anything.

    sampling = LayerSampling(model, LayerSamplingConfig(blocks=2, every_steps=20), seed=0)
    for step in range(steps):
        sampling(step)
        learner.step(next(source))
"""

import dataclasses

import numpy as np
from torch import nn

from trivium.data.order import shuffled
from trivium.errors import ConfigError, Unsupported


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerSamplingConfig:
    """How many blocks train together, and for how long."""

    blocks: int = 2
    """Blocks that train at a time (gamma; the paper has 2 of 32)."""
    every_steps: int = 20
    """Updates until others are drawn (K; the paper has 3 to 50)."""

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.every_steps < 1:
            raise ConfigError(
                "at least one block trains for at least one step",
                received=f"blocks {self.blocks}, every_steps {self.every_steps}",
            )


class LayerSampling:
    """Freezes and unfreezes the blocks of one model."""

    def __init__(self, model: nn.Module, config: LayerSamplingConfig, *, seed: int) -> None:
        """Only what trains now will ever be trained. Raises `ConfigError` for more blocks than there are and
        `Unsupported` where the blocks train nothing, as under an adapter of the head."""
        self._blocks = [[p for p in block.parameters() if p.requires_grad] for block in model.blocks.children()]
        self._config, self._seed = config, seed
        if config.blocks > len(self._blocks):
            raise ConfigError(
                "more blocks are to train than the model has",
                received=f"blocks {config.blocks}",
                expected=f"at most {len(self._blocks)}",
            )
        if not all(self._blocks):
            raise Unsupported(
                "only blocks that train can take turns",
                received="a block without a trained parameter",
                fix="leave layer sampling out, or train all blocks",
            )

    def chosen(self, step: int) -> list[int]:
        """The blocks that train in the update after ``step`` others, counted from 0 at the bottom."""
        places = np.arange(self._config.blocks)
        period = np.full(len(places), step // self._config.every_steps)
        return sorted(shuffled(places, len(self._blocks), seed=self._seed, epochs=period).tolist())

    def __call__(self, step: int) -> None:
        """Before the update after ``step`` others: freezes all blocks but the chosen ones."""
        chosen = self.chosen(step)
        for index, parameters in enumerate(self._blocks):
            for parameter in parameters:
                parameter.requires_grad_(index in chosen)
