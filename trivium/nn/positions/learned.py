"""A learned vector for each absolute position (Gehring et al. 2017; GPT, BERT)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.nn.positions.sinusoidal import SinusoidalPositions


class LearnedPositions(nn.Module):
    """A table of ``context_tokens`` vectors; ``offset`` rows at its start belong to no position (OPT, RoBERTa).

    It begins as chance has it, or as ``sines``: the sinusoids of Vaswani et al. (2017, section 3.5), so large. From
    sinusoids a head can look at a neighbour by one rotation, for every position alike; from vectors of chance each
    position has to learn its own neighbours, and a small encoder stays at the frequencies of words for thousands of
    updates (docs/log.md).
    """

    def __init__(self, context_tokens: int, width: int, offset: int = 0, *, sines: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(context_tokens + offset, width), std=0.02))
        if sines is not None:
            waves = SinusoidalPositions(width)(torch.arange(context_tokens)[None], self.weight.dtype)
            self.weight.data[offset:] = sines * waves[0]
        self.context_tokens, self.offset = context_tokens, offset

    def forward(self, positions: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Vectors of the given positions; ``ConfigError`` for one beyond the table."""
        # A row longer than the table is fine when it is packed: only positions inside documents count.
        if positions.shape[-1] > self.context_tokens or positions.shape[0] != 1 or positions.shape[-1] == 1:
            self._check(int(positions.max()))
        return nn.functional.embedding(positions + self.offset, self.weight)

    def _check(self, last: int) -> None:
        if last >= self.context_tokens:
            raise ConfigError(
                "the text is longer than the model's learned positions",
                received=f"{last + 1} tokens",
                expected=f"at most {self.context_tokens}",
                fix="shorten the prompt or the number of new tokens, or use a model with a longer context",
            )
