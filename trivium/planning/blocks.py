"""A deep network foretold from two shallow ones, because its blocks are alike.

Memory and work are, at each moment of an update, an even part and so much a block; which moment has the most may depend
on the depth. So every moment is carried on by itself (`Rehearsed.moments`), and the most of them is taken at the end:
for tensors that is what the whole network comes to, to the byte. The heap is carried on likewise, which is only about
right: its holes do not come one after the other.
"""

import dataclasses
from collections.abc import Sequence

from torch import nn

from trivium.planning.memory import Memory, Rehearsed

_LONGEST_PERIOD = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depths:
    """How deep the two shallow networks are."""

    few: int
    more: int
    whole: int

    def carried_on(self, few: Rehearsed, more: Rehearsed) -> Rehearsed:
        """What the whole network comes to."""
        assert len(few.moments) == len(more.moments)
        moments = tuple(
            Memory(**{field.name: self._whole(getattr(a, field.name), getattr(b, field.name)) for field in _PARTS})
            for a, b in zip(few.moments, more.moments, strict=True)
        )
        found = Rehearsed(
            moments=moments,
            parameters=self._whole(few.parameters, more.parameters),
            trained_parameters=self._whole(few.trained_parameters, more.trained_parameters),
            operations=self._whole(few.operations, more.operations),
            heap=self._whole(few.heap, more.heap),
        )
        return dataclasses.replace(found, heap=max(found.heap, found.memory.tensors))

    def _whole(self, few: int, more: int) -> int:
        return few + (more - few) * (self.whole - self.few) // (self.more - self.few)


_PARTS = dataclasses.fields(Memory)


def depths(blocks: Sequence[nn.Module]) -> Depths | None:
    """From how many of its blocks the rest can be foretold: two turns of the kinds that take turns, and one turn more.
    None where they do not, or nothing would be saved.

    They begin after those of other kinds, and after the first in any case, whose input may want no gradient. With two
    turns the halves of the backward pass each have whole blocks.
    """
    kinds = [kind(block) for block in blocks]
    whole = len(kinds)
    for period in range(1, _LONGEST_PERIOD + 1):
        first = whole - period
        while first > 1 and kinds[first - 1] == kinds[first - 1 + period]:
            first -= 1
        few = first + 2 * period + (whole - first) % period
        if 2 * few + period < whole:
            return Depths(few=few, more=few + period, whole=whole)
    return None


def kind(block: nn.Module) -> list[tuple]:
    """What tells blocks apart: their layers, with the shapes of their tensors and whatever they were told."""
    told = (bool, int, float, str, type(None))
    return [
        (
            name,
            type(module),
            [(key, tuple(tensor.shape)) for key, tensor in module.named_parameters(recurse=False)],
            [(key, tuple(tensor.shape)) for key, tensor in module.named_buffers(recurse=False)],
            sorted((key, repr(value)) for key, value in vars(module).items() if _tells(value, told)),
        )
        for name, module in block.named_modules()
    ]


def _tells(value: object, told: tuple[type, ...]) -> bool:
    return isinstance(value, told) or dataclasses.is_dataclass(value)
