"""Packed rows taken apart: each run of tokens in a row of its own, for what reads texts from their beginning.

Without a state a run is a document; with one it is the next tokens of the row that its segment names.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from trivium.nn.ragged import Ragged


@dataclass(frozen=True)
class Separate:
    """Where the tokens of packed rows ``[B, T]`` stand by themselves, ``[R, L]``."""

    ragged: Ragged
    places: Int[Tensor, "N"]
    """Of each token that is no padding, in the flattened rows."""
    shape: tuple[int, int]
    """``[B, T]``."""

    @classmethod
    def of(cls, segments: Int[Tensor, "B T"], rows: int | None) -> "Separate":
        """From the ``segments`` of a forward pass; ``rows`` are those of its state, if it has one."""
        places = (segments.flatten() >= 0).nonzero()[:, 0]
        names = segments.flatten()
        if rows is None:
            first = torch.ones_like(segments)
            first[:, 1:] = segments[:, 1:] != segments[:, :-1]
            names = first.flatten().cumsum(0) - 1
            rows = int(names[-1]) + 1
        return cls(Ragged.of(names[places][None], rows), places, (segments.shape[0], segments.shape[1]))

    @property
    def lengths(self) -> Int[Tensor, "R"]:
        """Tokens of each run; none of padding, and none of a row of the state that is given nothing."""
        return self.ragged.lengths

    def pad(self, x: Shaped[Tensor, "B T *W"]) -> Shaped[Tensor, "R L *W"]:
        """The runs in rows, zeros at the right."""
        return self.ragged.pad(x.flatten(0, 1)[self.places][None])

    def pack(self, x: Shaped[Tensor, "R L *W"]) -> Shaped[Tensor, "B T *W"]:
        """Back again, zeros where there is padding."""
        flat = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[2:])
        return flat.index_copy(0, self.places, self.ragged.pack(x)[0]).unflatten(0, self.shape)
