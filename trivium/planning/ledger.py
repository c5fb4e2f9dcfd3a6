"""What tensors take at each moment of a computation, counted storage by storage.

It is told of the result of every operation, those of the backward pass too. A storage counts from the operation that
made it until the last tensor on it is gone: views, what autograd keeps and what it shares cost nothing twice. What a
kernel allocates for itself, and gives back before it returns, is not seen.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


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

    def begin(self) -> None:
        """The peak is looked for from here on."""
        self._begin, self._present = len(self._events), self.alive

    def at_peak(self) -> set[int]:
        """What was held at the moment when it was most, since ``begin``."""
        held = most = self.bytes_of(self._present)
        place = self._begin
        for index in range(self._begin, len(self._events)):
            event = self._events[index]
            held += self._sizes[event] if event >= 0 else -self._sizes[~event]
            if held > most:
                most, place = held, index + 1
        present = set(self._present)
        for event in self._events[self._begin : place]:
            if event >= 0:
                present.add(event)
            else:
                present.discard(~event)
        return present

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
