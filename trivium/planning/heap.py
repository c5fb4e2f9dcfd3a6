"""What the C library's heap grows to when tensors come and go in it: more than they take, since holes stay unused.

PyTorch asks glibc for every tensor on the CPU, aligned to 64 bytes, and `trivium.runtime.allocator` keeps what is freed
in the process. Followed here is how glibc 2.36 goes about it (malloc/malloc.c, ``_int_memalign`` and ``_int_malloc``):

* A block is cut from the smallest hole that has 112 bytes more than it needs (the alignment, the least chunk and the
  rounding), else from the top of the heap. A hole that a tensor left is therefore too small for the next of its size,
  unless one beside it is free as well.
* What is left beside the block goes to the small objects that are made next: the description of the next tensor and
  its node of the graph. They go when that tensor goes, and until then they keep the holes on their two sides apart.

The second is a simplification: no small object is followed by itself. Against the heap of real updates (`mallinfo2`,
widths 32 and 256, seven ways of training) it came to 0.94 to 1.14 of the growth; without it to 0.70 to 0.93. Peak
RSS so foretold was 0.92 to 1.03 of what was measured in eight configurations of width 256, two of which were not looked
at before. Of very small models with many small layers it is too little: 0.73 of the heap of a GPT-2 of width 96 with
bottlenecks.
"""

import bisect
from collections.abc import Sequence

ALIGNMENT = 64
HEADER = 16
"""Bytes of a chunk before what it holds; sizes are multiples of it, and the size of an aligned block ends in it."""
LEAST_CHUNK = 32
SPARE = ALIGNMENT + LEAST_CHUNK + HEADER
"""What a hole must have beside an aligned block."""
LARGEST = 2**31 - 1
"""Bytes from which a block is mapped by itself and leaves no hole (`trivium.runtime.allocator`)."""


class Heap:
    """Blocks by number; addresses count from where the heap begins."""

    def __init__(self) -> None:
        self.most = 0
        """Bytes that it has grown to, with what was mapped by itself at once."""
        self._top = 0
        self._mapped, self._most_mapped = 0, 0
        self._blocks: dict[int, tuple[int, int]] = {}
        self._alone: dict[int, int] = {}
        self._pieces: dict[int, list[tuple[int, int]]] = {}
        """By block, the pieces that the small objects which came with it have taken."""
        self._beside: list[tuple[int, int]] = []
        """Pieces beside the last block, which the objects of the next will take."""
        self._sizes: list[tuple[int, int]] = []
        """Size and address of every hole, in order."""
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def take(self, number: int, size: int) -> None:
        """A block of ``size`` bytes."""
        if size >= LARGEST:
            self._alone[number] = size
            self._mapped += size
            self._most_mapped = max(self._most_mapped, self._mapped)
        else:
            self._cut(number, max(LEAST_CHUNK, _rounded(size + HEADER // 2)))
        self.most = max(self.most, self._top + self._most_mapped)

    def give_back(self, number: int) -> None:
        """The block of this number is free; one that was never taken is passed over."""
        if number in self._alone:
            self._mapped -= self._alone.pop(number)
        elif number in self._blocks:
            for start, size in (self._blocks.pop(number), *self._pieces.pop(number)):
                self._free(start, size)

    def _cut(self, number: int, size: int) -> None:
        wanted = size + SPARE
        place = bisect.bisect_left(self._sizes, (wanted, -1))
        if place < len(self._sizes):
            found, start = self._sizes[place]
            self._forget(start, found)
        else:
            found, start = wanted, self._top
            self._top += wanted
        aligned = start + HEADER
        aligned += -aligned % ALIGNMENT
        block = aligned - HEADER
        if 0 < block - start < LEAST_CHUNK:
            block += ALIGNMENT
        end = start + wanted
        self._blocks[number], self._pieces[number] = (block, size), self._beside
        pieces = ((start, block - start), (block + size, end - block - size))
        self._beside = [piece for piece in pieces if piece[1]]
        if found > wanted:
            self._free(end, found - wanted)

    def _free(self, start: int, size: int) -> None:
        """Joined with the holes on its two sides, and with the top."""
        if start in self._ends:
            before = self._ends[start]
            size += start - before
            self._forget(before, start - before)
            start = before
        after = self._starts.get(start + size)
        if after is not None:
            self._forget(start + size, after)
            size += after
        if start + size == self._top:
            self._top = start
            return
        self._starts[start], self._ends[start + size] = size, start
        bisect.insort(self._sizes, (size, start))

    def _forget(self, start: int, size: int) -> None:
        self._sizes.pop(bisect.bisect_left(self._sizes, (size, start)))
        del self._starts[start], self._ends[start + size]


def grown(sizes: Sequence[int], events: Sequence[int]) -> int:
    """Bytes that a heap has grown to after ``events``: the number of a block that is taken, or its complement
    (``~number``) where it is given back. ``sizes`` has the bytes of each."""
    heap = Heap()
    for event in events:
        if event >= 0:
            heap.take(event, sizes[event])
        else:
            heap.give_back(~event)
    return heap.most


def _rounded(size: int) -> int:
    return -(-size // HEADER) * HEADER
