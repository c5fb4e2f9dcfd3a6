"""Tokens of several rows standing one after another in ``[1, N]``, and the same tokens in rows.

A ragged step (a state and segments together) brings the new tokens of many requests packed. What
must meet its request's own memory, or be stepped through in order, is laid out in rows for that and
packed again afterwards.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Where each of ``N`` packed tokens belongs."""

    rows: Int[Tensor, "N"]
    """The row of each token."""
    columns: Int[Tensor, "N"]
    """How many tokens of the same row stand before it."""
    lengths: Int[Tensor, "B"]
    """Tokens of each row; rows that got none count too."""

    @classmethod
    def of(cls, segments: Int[Tensor, "1 N"], rows: int) -> "Ragged":
        """From the row numbers of packed tokens; those of one row stand together and in order."""
        names = segments[0]
        lengths = torch.bincount(names, minlength=rows)
        steps = torch.arange(names.shape[0], device=names.device)
        first = torch.ones_like(names, dtype=torch.bool)
        first[1:] = names[1:] != names[:-1]
        begins = torch.where(first, steps, 0).cummax(dim=0).values
        return cls(names, steps - begins, lengths)

    def pad(self, packed: Shaped[Tensor, "1 N *W"]) -> Shaped[Tensor, "B L *W"]:
        """The tokens in rows, left-aligned, zeros at the right."""
        padded = packed.new_zeros(self.lengths.shape[0], int(self.lengths.max()), *packed.shape[2:])
        return padded.index_put((self.rows, self.columns), packed[0])

    def pack(self, padded: Shaped[Tensor, "B L *W"]) -> Shaped[Tensor, "1 N *W"]:
        """Back again."""
        return padded[self.rows, self.columns][None]
