"""What a decoder remembers of its sources, by source and not by row: several rows may read the same one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass
class Memory:
    """What a decoder reads of its source: per decoder layer whatever that layer made of it, and the source lengths.

    ``tensors[i]`` is layer ``i``'s tuple (projected keys and values, or encoder outputs); every
    tensor has the source first.

    There is a source for each row, or one for every ``n`` that stand together (the beams of a search): row ``b`` reads
    source ``b // n``. Only keys and values ``[S, H, L, K]`` are shared so, which ``cross_attend`` reads.
    """

    tensors: tuple[tuple[Shaped[Tensor, "S ..."], ...], ...]
    lengths: Int[Tensor, "S"]

    @classmethod
    def of_source(cls, blocks: Iterable[Any], hidden: Float[Tensor, "S L D"], lengths: Int[Tensor, "S"] | None) -> Self:
        """What the ``read_source`` of each of a decoder's ``blocks`` makes of a source's hidden states; without
        ``lengths`` every position counts."""
        if lengths is None:
            lengths = torch.full((hidden.shape[0],), hidden.shape[1], device=hidden.device)
        return cls(tuple(block.read_source(hidden) for block in blocks), lengths)

    @property
    def sharable(self) -> bool:
        """Whether nothing but keys and values is remembered."""
        return all([tensor.ndim for tensor in layer] == [4, 4] for layer in self.tensors)

    def take(self, sources: Int[Tensor, "R"]) -> Self:
        """What rows that read these ``sources`` remember, shared as far as it can be."""
        if self.sharable and sources.shape[0]:
            runs = torch.unique_consecutive(sources, return_counts=True)[1]
            sources = sources[:: math.gcd(*runs.tolist())]
        tensors = tuple(tuple(tensor.index_select(0, sources) for tensor in layer) for layer in self.tensors)
        return type(self)(tensors, self.lengths[sources])

    def unshared(self, rows: int) -> Self:
        """A source for each of ``rows``: copies where they share one."""
        count = self.lengths.shape[0]
        if count == rows:
            return self
        assert count and rows % count == 0, (rows, count)
        tensors = tuple(tuple(t.repeat_interleave(rows // count, dim=0) for t in layer) for layer in self.tensors)
        return type(self)(tensors, self.lengths.repeat_interleave(rows // count))

    def join(self, other: Self) -> Self:
        """The rows of both; sources of unequal padded length are padded to the longer (masks go by ``lengths``)."""
        layers = zip(self.tensors, other.tensors, strict=True)
        tensors = tuple(tuple(_join_padded(a, b) for a, b in zip(ours, theirs, strict=True)) for ours, theirs in layers)
        return type(self)(tensors, torch.cat([self.lengths, other.lengths]))

    def reserve(self, rows: int) -> Self:
        """A copy with room for ``rows`` sources, ours first."""
        tensors = tuple(tuple(with_rows(tensor, rows) for tensor in layer) for layer in self.tensors)
        return type(self)(tensors, with_rows(self.lengths, rows))

    def first(self, rows: int) -> Self:
        """The first rows, as a view."""
        return type(self)(tuple(tuple(t[:rows] for t in layer) for layer in self.tensors), self.lengths[:rows])

    def put(self, rows: Int[Tensor, "R"], other: Self) -> Self:
        """With ``other``'s rows copied to ``rows``; room for longer sources is made where they need it."""
        layers = zip(self.tensors, other.tensors, strict=True)
        tensors = tuple(
            tuple(_put_padded(ours, rows, theirs) for ours, theirs in zip(*pair, strict=True)) for pair in layers
        )
        return type(self)(tensors, self.lengths.index_copy(0, rows, other.lengths))

    def detach(self) -> Self:
        return type(self)(tuple(tuple(t.detach() for t in layer) for layer in self.tensors), self.lengths)


def _join_padded(a: Tensor, b: Tensor) -> Tensor:
    """Concatenate rows, zero-padding every other dimension to the larger of the two."""
    shape = _larger(a, b)
    return torch.cat([_padded(a, shape), _padded(b, shape)])


def _put_padded(ours: Tensor, rows: Tensor, theirs: Tensor) -> Tensor:
    """``ours`` with ``theirs`` at ``rows``, in place where they fit."""
    if theirs.data_ptr() == ours.data_ptr():  # a view of our first rows
        return ours
    shape = _larger(ours, theirs)
    room = _padded(ours, shape)
    room[rows] = _padded(theirs, shape)
    return room


def _larger(a: Tensor, b: Tensor) -> list[int]:
    return [max(x, y) for x, y in zip(a.shape[1:], b.shape[1:], strict=True)]


def _padded(tensor: Tensor, shape: list[int]) -> Tensor:
    """Zeros to the right of every dimension but the first, up to ``shape``."""
    if list(tensor.shape[1:]) == shape:
        return tensor
    out = tensor.new_zeros(tensor.shape[0], *shape)
    out[tuple(slice(0, size) for size in tensor.shape)] = tensor
    return out


def with_rows(tensor: Tensor, rows: int) -> Tensor:
    """A copy with ``rows`` rows, those that ``tensor`` does not have filled with zeros."""
    assert rows >= tensor.shape[0], (rows, tensor.shape[0])
    out = tensor.new_zeros(rows, *tensor.shape[1:])
    out[: tensor.shape[0]] = tensor
    return out


pytree.register_dataclass(Memory)
