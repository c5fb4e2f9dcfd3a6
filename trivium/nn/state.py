"""What a model remembers between two calls: one row per request, one layer state per layer.

Beam search, continuous batching, prefix reuse and speculative decoding need nothing else than the
verbs below, whatever the architecture keeps: keys and values (of a window: ``nn/ring.py``), an LSTM's ``(h, c)`` or
the memory of an encoder. ``take`` and ``join`` copy; ``reserve``, ``first`` and ``put`` are for requests that come and
go: room is allocated once, the first rows of it are in use, and others are copied into place.

A state handed to ``forward`` is consumed: its buffers may be written in place, and the caller goes
on with ``Output.state``. Shapes are static (a cache is allocated once, to its capacity), and every
class here is a pytree, so a state passes through ``torch.compile`` and ``torch.func``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from trivium.errors import Unsupported
from trivium.nn.memory import Memory, with_rows
from trivium.nn.ring import WindowCache


@runtime_checkable
class LayerState(Protocol):
    """One layer's share of a ``State``; row ``b`` of every tensor belongs to request ``b``."""

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        """Rows in the given order, repeated or dropped."""
        ...

    def join(self, other: Self) -> Self:
        """The rows of both, ours first."""
        ...

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        """Rows where ``mask`` is false start again from nothing."""
        ...

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        """Forget what came after ``lengths`` tokens; ``Unsupported`` where that cannot be undone."""
        ...

    def reserve(self, rows: int, capacity: int) -> Self:
        """A copy with room for ``rows`` requests of ``capacity`` tokens, ours first and the others empty."""
        ...

    def first(self, rows: int) -> Self:
        """The first rows, as a view: what is written in place through it is written here."""
        ...

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        """With ``other``'s rows copied to ``rows``, of which the longest holds ``span`` tokens."""
        ...

    def detach(self) -> Self:
        """The same values, cut from the graph that made them."""
        ...


@dataclass
class KeyValueCache:
    """Keys and values of every token so far; token ``t`` of row ``b`` sits in slot ``t``.

    Rows are left-aligned, so a slot is a position and a length is a mask. What lies beyond a row's
    length is left over from a longer past and is never visible.
    """

    keys: Float[Tensor, "B H C K"]
    values: Float[Tensor, "B H C K"]

    @classmethod
    def empty(cls, rows: int, heads: int, capacity: int, head_width: int, like: Tensor) -> Self:
        """A cache for ``rows`` requests of at most ``capacity`` tokens, of the dtype and device of ``like``."""
        shape = (rows, heads, capacity, head_width)
        return cls(like.new_zeros(shape), like.new_zeros(shape))

    @property
    def capacity(self) -> int:
        """Slots per row."""
        return self.keys.shape[2]

    def append(self, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"], start: int) -> None:
        """Writes tokens from position ``start`` on, of every row."""
        here = slice(start, start + k.shape[2])
        self.keys[:, :, here], self.values[:, :, here] = k, v

    def place(
        self, k: Float[Tensor, "M H K"], v: Float[Tensor, "M H K"], rows: Int[Tensor, "M"], positions: Int[Tensor, "M"]
    ) -> None:
        """Writes one token each."""
        k, v = k.to(self.keys.dtype), v.to(self.values.dtype)  # under autocast they are narrower than the cache
        self.keys[rows, :, positions], self.values[rows, :, positions] = k, v

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        return type(self)(self.keys.index_select(0, rows), self.values.index_select(0, rows))

    def reorder(self, rows: Int[Tensor, "B"], span: int) -> Self:
        """``take`` in place, of the first ``span`` slots: the room beyond them is not moved."""
        for tensor in (self.keys, self.values):
            used = tensor[:, :, :span]
            used.copy_(used.index_select(0, rows))
        return self

    def join(self, other: Self) -> Self:
        assert self.capacity == other.capacity, (self.capacity, other.capacity)
        return type(self)(torch.cat([self.keys, other.keys]), torch.cat([self.values, other.values]))

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        return self  # the row's length is set to 0 by State.keep: what lies beyond a length is invisible

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        return self  # likewise: State.lengths alone decides what is visible

    def reserve(self, rows: int, capacity: int) -> Self:
        room = type(self).empty(rows, self.keys.shape[1], capacity, self.keys.shape[3], like=self.keys)
        held = min(self.capacity, capacity)
        room.keys[: self.keys.shape[0], :, :held] = self.keys[:, :, :held]
        room.values[: self.keys.shape[0], :, :held] = self.values[:, :, :held]
        return room

    def first(self, rows: int) -> Self:
        return type(self)(self.keys[:rows], self.values[:rows])

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        assert span <= self.capacity, (span, self.capacity)
        if other.keys.data_ptr() != self.keys.data_ptr():  # else a view of our first rows: they are in place already
            self.keys[rows, :, :span] = other.keys[:, :, :span]
            self.values[rows, :, :span] = other.values[:, :, :span]
        return self

    def detach(self) -> Self:
        return type(self)(self.keys.detach(), self.values.detach())


@dataclass
class RecurrentState:
    """What a recurrent layer carries: ``h`` for an Elman or GRU layer, ``(h, c)`` for an LSTM.

    Each tensor is ``[B, D]``. A recurrence cannot be undone, so ``rollback`` is refused.
    """

    tensors: tuple[Float[Tensor, "B _"], ...]

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        return type(self)(tuple(tensor[rows] for tensor in self.tensors))

    def join(self, other: Self) -> Self:
        return type(self)(tuple(torch.cat(pair) for pair in zip(self.tensors, other.tensors, strict=True)))

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        return type(self)(tuple(torch.where(mask[:, None], tensor, 0.0) for tensor in self.tensors))

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        raise Unsupported(
            "a recurrent state cannot be rolled back",
            received="State.rollback on a recurrent model",
            expected="a model that keeps its whole past (a Transformer)",
            fix="keep the state from before the step, or decode without speculation",
        )

    def reserve(self, rows: int, capacity: int) -> Self:
        return type(self)(tuple(with_rows(tensor, rows) for tensor in self.tensors))

    def first(self, rows: int) -> Self:
        return type(self)(tuple(tensor[:rows] for tensor in self.tensors))

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        pairs = zip(self.tensors, other.tensors, strict=True)
        return type(self)(tuple(ours.index_copy(0, rows, theirs) for ours, theirs in pairs))

    def detach(self) -> Self:
        return type(self)(tuple(tensor.detach() for tensor in self.tensors))


@dataclass
class State:
    """Everything a model needs to go on with ``B`` requests.

    ``lengths[b]`` counts the tokens row ``b`` has seen. ``memory`` is set for encoder-decoders.
    ``layers`` is empty for an encoder-decoder that is being trained: the whole target is given at
    once and nothing need be cached.
    """

    layers: list[LayerState]
    lengths: Int[Tensor, "B"]
    memory: Memory | None = field(default=None)

    @classmethod
    def of_caches(
        cls,
        rows: int,
        heads: int,
        capacity: int,
        head_width: int,
        *,
        layers: int,
        like: Tensor,
        windows: Sequence[int | None] | None = None,
    ) -> "State":
        """Empty caches for ``rows`` texts of at most ``capacity`` tokens; that of a layer with a window
        (``windows[i]``) does not grow with the text."""
        windows = [None] * layers if windows is None else windows
        assert len(windows) == layers, (len(windows), layers)
        shape = (rows, heads, capacity, head_width)
        caches: list[LayerState] = [
            KeyValueCache.empty(*shape, like=like) if window is None else WindowCache.empty(*shape, window, like=like)
            for window in windows
        ]
        return cls(caches, torch.zeros(rows, dtype=torch.long, device=like.device))

    @property
    def rows(self) -> int:
        """Number of requests."""
        return self.lengths.shape[0]

    def take(self, rows: Int[Tensor, "R"]) -> "State":
        """Rows in the given order, repeated (beams) or dropped (finished requests)."""
        memory = self.memory
        if memory is not None and memory.lengths.shape[0]:
            memory = memory.take(rows // (self.rows // memory.lengths.shape[0]))
        return State([layer.take(rows) for layer in self.layers], self.lengths[rows], memory)

    def reorder(self, rows: Int[Tensor, "B"]) -> "State":
        """``take`` of as many rows as there are, each in the place of one that reads the same source; we are consumed.

        What was read of the sources stays where it is, and caches are written in place, as far as they are in use.
        """
        span = int(self.lengths.max())
        layers = [
            layer.reorder(rows, span) if isinstance(layer, KeyValueCache | WindowCache) else layer.take(rows)
            for layer in self.layers
        ]
        return State(layers, self.lengths[rows], self.memory)

    def join(self, other: "State") -> "State":
        """The rows of both, ours first: requests that arrive between two steps."""
        assert (self.memory is None) == (other.memory is None), "a state with memory joins one with memory"
        layers = [a.join(b) for a, b in zip(self.layers, other.layers, strict=True)]
        mine, others = self._unshared_memory(), other._unshared_memory()
        memory = None if mine is None or others is None else mine.join(others)
        return State(layers, torch.cat([self.lengths, other.lengths]), memory)

    def keep(self, mask: Bool[Tensor, "B"]) -> "State":
        """Rows where ``mask`` is false start again from nothing (a new document in truncated back-propagation)."""
        lengths = torch.where(mask, self.lengths, 0)
        return State([layer.keep(mask) for layer in self.layers], lengths, self.memory)

    def rollback(self, lengths: Int[Tensor, "B"]) -> "State":
        """Forget what came after ``lengths`` tokens (rejected drafts). ``Unsupported`` for recurrent layers."""
        assert bool((lengths <= self.lengths).all()), "a rollback cannot lengthen a row"
        return replace(self, layers=[layer.rollback(lengths) for layer in self.layers], lengths=lengths)

    def reserve(self, rows: int, capacity: int) -> "State":
        """A copy with room for ``rows`` requests of ``capacity`` tokens: ours first, the others empty."""
        memory = self._unshared_memory()
        memory = None if memory is None else memory.reserve(rows)
        layers = [layer.reserve(rows, capacity) for layer in self.layers]
        return State(layers, with_rows(self.lengths, rows), memory)

    def first(self, rows: int) -> "State":
        """The first rows, as a view where the layers are written in place."""
        memory = self._unshared_memory()
        memory = None if memory is None else memory.first(rows)
        return State([layer.first(rows) for layer in self.layers], self.lengths[:rows], memory)

    def put(self, rows: Int[Tensor, "R"], other: "State") -> "State":
        """With ``other``'s rows copied to ``rows``, over what stood there; we are consumed."""
        assert (self.memory is None) == (other.memory is None), "a state with memory takes rows with memory"
        span = int(other.lengths.max())
        layers = [ours.put(rows, theirs, span) for ours, theirs in zip(self.layers, other.layers, strict=True)]
        mine, others = self._unshared_memory(), other._unshared_memory()
        memory = None if mine is None or others is None else mine.put(rows, others)
        return State(layers, self.lengths.index_copy(0, rows, other.lengths), memory)

    def detach(self) -> "State":
        """The same state, cut from the graph: the truncation in truncated back-propagation."""
        memory = None if self.memory is None else self.memory.detach()
        return State([layer.detach() for layer in self.layers], self.lengths, memory)

    def _unshared_memory(self) -> Memory | None:
        return None if self.memory is None else self.memory.unshared(self.rows)


for _kind in (KeyValueCache, RecurrentState, State):
    pytree.register_dataclass(_kind)
