"""Keys and values of a layer that looks back through a window: memory that does not grow with the text."""

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from trivium.errors import Unsupported
from trivium.nn.memory import with_rows

SLACK = 16
"""Tokens beyond the window that are kept, so that so many can be read at once in place, and as many be taken back
(drafts that were wrong)."""


@dataclass
class WindowCache:
    """Keys and values of each row's last tokens, a ring: token ``t`` sits in slot ``t mod S``.

    There are ``window + SLACK`` slots, or as many as tokens where the text will not be longer; a slot is then a
    position, as in a ``KeyValueCache``. What a slot holds follows from the row's length alone.
    """

    keys: Float[Tensor, "B G S K"]
    values: Float[Tensor, "B G S K"]
    forgotten: Int[Tensor, "B"]
    """Tokens at the beginning of each row that were written over, by what was taken back since as well."""
    window: int
    """A token sees itself and the ``window - 1`` before it."""

    @classmethod
    def empty(cls, rows: int, heads: int, capacity: int, head_width: int, window: int, like: Tensor) -> Self:
        """For ``rows`` texts of at most ``capacity`` tokens, of the dtype and device of ``like``."""
        shape = (rows, heads, min(capacity, window + SLACK), head_width)
        forgotten = torch.zeros(rows, dtype=torch.long, device=like.device)
        return cls(like.new_zeros(shape), like.new_zeros(shape), forgotten, window)

    @property
    def slots(self) -> int:
        """Tokens a row that are held."""
        return self.keys.shape[2]

    @property
    def capacity(self) -> int | None:
        """Longest text there is room for; None where its length does not matter."""
        return None if self.slots == self.window + SLACK else self.slots

    # What attention does ---------------------------------------------------------------------------------------------

    def append(self, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"], start: int) -> None:
        """Writes tokens from position ``start`` on, of every row."""
        end = start + k.shape[2]
        oldest = max(start, end - self.slots)
        while oldest < end:  # up to the end of the ring, and from its beginning
            slot = oldest % self.slots
            count = min(end - oldest, self.slots - slot)
            here, there = slice(slot, slot + count), slice(oldest - start, oldest - start + count)
            self.keys[:, :, here], self.values[:, :, here] = k[:, :, there], v[:, :, there]
            oldest += count
        self.forgotten.clamp_(min=end - self.slots)

    def place(
        self, k: Float[Tensor, "M G K"], v: Float[Tensor, "M G K"], rows: Int[Tensor, "M"], positions: Int[Tensor, "M"]
    ) -> None:
        """Writes one token each."""
        ends = torch.zeros_like(self.forgotten).scatter_reduce(0, rows, positions + 1, "amax")
        kept = positions >= (ends - self.slots)[rows]  # of tokens that share a slot only the newest is written
        rows, slots = rows[kept], positions[kept] % self.slots
        k, v = k[kept].to(self.keys.dtype), v[kept].to(self.values.dtype)  # under autocast they are narrower
        self.keys[rows, :, slots], self.values[rows, :, slots] = k, v
        self.forgotten.copy_(torch.maximum(self.forgotten, ends - self.slots))

    def positions(self, lengths: Int[Tensor, "R"]) -> Int[Tensor, "R S"]:
        """Of the token in each slot of rows that hold so many; negative where there is none."""
        newest = lengths[:, None] - 1
        return newest - (newest - torch.arange(self.slots, device=lengths.device)) % self.slots

    def before(self, rows: slice, position: int) -> tuple[Float[Tensor, "R G N K"], Float[Tensor, "R G N K"]]:
        """Keys and values that a token at ``position`` sees beside its own, the oldest first."""
        slots = torch.arange(max(0, position - self.window + 1), position, device=self.keys.device) % self.slots
        return self.keys[rows].index_select(2, slots), self.values[rows].index_select(2, slots)

    # The verbs of every layer's state --------------------------------------------------------------------------------

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        return self._with(*(tensor.index_select(0, rows) for tensor in (self.keys, self.values, self.forgotten)))

    def reorder(self, rows: Int[Tensor, "B"], span: int) -> Self:
        """``take`` in place, of the slots that ``span`` tokens use."""
        for tensor in (self.keys[:, :, :span], self.values[:, :, :span], self.forgotten):
            tensor.copy_(tensor.index_select(0, rows))
        return self

    def join(self, other: Self) -> Self:
        assert (self.slots, self.window) == (other.slots, other.window), (self.slots, other.slots)
        pairs = zip(self._tensors, other._tensors, strict=True)
        return self._with(*(torch.cat(pair) for pair in pairs))

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        return self._with(self.keys, self.values, torch.where(mask, self.forgotten, 0))

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        needed = torch.where(lengths > 0, (lengths - self.window + 1).clamp(min=0), self.forgotten)
        if bool((needed < self.forgotten).any()):
            raise Unsupported(
                "a sliding window cannot be rolled back so far: what stood before it was written over",
                received=f"lengths {lengths.tolist()}, of which {self.forgotten.tolist()} tokens are no longer held",
                expected=f"at most {SLACK} tokens less than there were",
                fix="keep the state from before the step, or read the text again",
            )
        return self.keep(lengths > 0)

    def reserve(self, rows: int, capacity: int) -> Self:
        room = type(self).empty(rows, self.keys.shape[1], capacity, self.keys.shape[3], self.window, like=self.keys)
        held = min(self.slots, room.slots)  # unequal only where a slot is a position
        room.keys[: self.keys.shape[0], :, :held] = self.keys[:, :, :held]
        room.values[: self.keys.shape[0], :, :held] = self.values[:, :, :held]
        return self._with(room.keys, room.values, with_rows(self.forgotten, rows))

    def first(self, rows: int) -> Self:
        return self._with(*(tensor[:rows] for tensor in self._tensors))

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        assert self.window == other.window and (self.capacity is None or span <= self.capacity), (span, self.slots)
        if other.keys.data_ptr() != self.keys.data_ptr():  # else a view of our first rows: they are in place already
            held = min(span, self.slots, other.slots)
            self.keys[rows, :, :held] = other.keys[:, :, :held]
            self.values[rows, :, :held] = other.values[:, :, :held]
        self.forgotten[rows] = other.forgotten.clone()  # it may be a view of ours, or no longer one
        return self

    def detach(self) -> Self:
        return self._with(self.keys.detach(), self.values.detach(), self.forgotten)

    @property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.keys, self.values, self.forgotten

    def _with(self, keys: Tensor, values: Tensor, forgotten: Tensor) -> Self:
        return type(self)(keys, values, forgotten, self.window)


def _flattened(cache: WindowCache) -> tuple[list[Tensor], int]:
    return list(cache._tensors), cache.window


pytree.register_pytree_node(
    WindowCache,
    _flattened,
    lambda tensors, window: WindowCache(*tensors, window),
    serialized_type_name="trivium.nn.ring.WindowCache",
)
