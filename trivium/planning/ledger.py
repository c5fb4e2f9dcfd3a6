"""What tensors take at each moment of a computation, counted storage by storage.

It is told of the result of every operation, those of the backward pass too. A storage counts from the operation that
made it until the last tensor on it is gone: views, what autograd keeps and what it shares cost nothing twice. What a
kernel allocates for itself, and gives back before it returns, is not seen.
"""

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from trivium.planning.heap import grown


class Ledger:
    """Notes the birth and death of every storage, also of tensors without data (meta, fake)."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        """Bytes of each storage, in the order in which they were first seen; the place in it is its number."""
        self._events: list[int] = []
        """The number of what came to life, or its complement (``~number``) where it died."""
        self._alive: dict[int, tuple[int, weakref.ref]] = {}
        """Number, and what tells of the death, by the storage's address."""
        self._begin, self._present = 0, set[int]()

    def note(self, result: Any) -> None:
        """What an operation gave: a tensor, several, or something else."""
        for leaf in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf)

    def note_passing(self, size: int) -> None:
        """Bytes that an operation had for itself, beside all that is held after it."""
        if size:
            number = len(self._sizes)
            self._sizes.append(size)
            self._events += (number, ~number)

    @property
    def alive(self) -> set[int]:
        """The numbers of the storages that are held now."""
        return {number for number, _ in self._alive.values()}

    def bytes_of(self, numbers: Iterable[int]) -> int:
        """What these storages take together."""
        return sum(self._sizes[number] for number in numbers)

    def numbers_of(self, tensors: Iterable[Tensor]) -> set[int]:
        """Those of the storages of ``tensors``, which it was told of."""
        return {self._alive[_address(tensor.untyped_storage())][0] for tensor in tensors}

    @property
    def place(self) -> int:
        """How many births and deaths there were so far."""
        return len(self._events)

    def repeated(self, begin: int, end: int) -> list[int]:
        """The births and deaths between two places, as if they had happened another time: to storages of their own."""
        again: dict[int, int] = {}
        events: list[int] = []
        for event in self._events[begin:end]:
            if event >= 0:
                again[event] = len(self._sizes)
                self._sizes.append(self._sizes[event])
                events.append(again[event])
            elif ~event in again:
                events.append(~again[~event])
        return events

    def between(self, begin: int, end: int) -> list[int]:
        """The births and deaths between two places: the number of a storage, or its complement where it died."""
        return self._events[begin:end]

    def heap(self, events: Sequence[int]) -> int:
        """Bytes that the C library's heap grows to in these births and deaths (`trivium.planning.heap`)."""
        return grown(self._sizes, events)

    def begin(self) -> None:
        """The peak is looked for from here on."""
        self._begin, self._present = len(self._events), self.alive

    def at_peaks(self, *places: int) -> list[set[int]]:
        """What was held when it was most: from ``begin`` to the first place, from there to the second, and so on."""
        present, begin, found = set(self._present), self._begin, []
        for end in places:
            found.append(self._at_peak(present, begin, end))
            self._follow(present, begin, end)
            begin = end
        return found

    def _at_peak(self, before: set[int], begin: int, end: int) -> set[int]:
        held = most = self.bytes_of(before)
        place = begin
        for index in range(begin, end):
            event = self._events[index]
            held += self._sizes[event] if event >= 0 else -self._sizes[~event]
            if held > most:
                most, place = held, index + 1
        present = set(before)
        self._follow(present, begin, place)
        return present

    def _follow(self, present: set[int], begin: int, end: int) -> None:
        for event in self._events[begin:end]:
            if event >= 0:
                present.add(event)
            else:
                present.discard(~event)

    def _note(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        address, size = _address(storage), storage.nbytes()
        if address in self._alive or not size:
            return
        number = len(self._sizes)
        self._sizes.append(size)
        self._events.append(number)

        def died(_: weakref.ref) -> None:
            del self._alive[address]
            self._events.append(~number)

        # A storage has one Python object as long as it lives, so that this is told of its very end.
        self._alive[address] = number, weakref.ref(storage, died)


def _address(storage: torch.UntypedStorage) -> int:
    return storage._cdata
