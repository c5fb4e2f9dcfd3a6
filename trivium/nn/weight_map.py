"""How one checkpoint's tensors become another's: data, invertible, strict in both directions.

A map is a list of entries between *our* names and *their* names (Hugging Face's, GGUF's, ...). The
same list is read from left to right when exporting and from right to left when importing, one tensor
at a time, so that a transform (a 4-bit quantiser, a shard) never sees a full copy of the model.

Patterns hold ``{i}`` for the layer (and ``{e}`` for the expert inside ``Stack``).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from trivium.errors import CheckpointError


@dataclass(frozen=True)
class Rename:
    """The same tensor under another name."""

    ours: str
    theirs: str

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), (self.theirs,)

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return theirs

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return ours


@dataclass(frozen=True)
class Transpose:
    """A matrix stored the other way round (GPT-2's ``Conv1D`` keeps ``[in, out]``)."""

    ours: str
    theirs: str

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), (self.theirs,)

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [theirs[0].mT.contiguous()]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [ours[0].mT.contiguous()]


@dataclass(frozen=True)
class Row:
    """A vector of ours that they keep as a matrix of one row (Marian's bias of the logits)."""

    ours: str
    theirs: str

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), (self.theirs,)

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [theirs[0].squeeze(0)]  # a matrix of several rows stays one, and is found to have another shape

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [ours[0][None]]


@dataclass(frozen=True)
class Fuse:
    """Several of their tensors make one of ours, concatenated along the first dimension (q, k, v -> qkv)."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...]

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), self.theirs

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [torch.cat(theirs)]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [part.contiguous() for part in ours[0].split(self.sizes)]


@dataclass(frozen=True)
class Split:
    """One of their tensors makes several of ours, cut along the first dimension."""

    ours: tuple[str, ...]
    theirs: str
    sizes: tuple[int, ...]

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.ours, (self.theirs,)

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [part.contiguous() for part in theirs[0].split(self.sizes)]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [torch.cat(ours)]


@dataclass(frozen=True)
class Stack:
    """Their numbered tensors (``{e}``: one an expert) make one of ours with a leading dimension."""

    ours: str
    theirs: str
    count: int

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), tuple(self.theirs.replace("{e}", str(e)) for e in range(self.count))

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [torch.stack(theirs)]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [part.contiguous() for part in ours[0].unbind()]


@dataclass(frozen=True)
class StackFused:
    """Several numbered tensors of theirs an expert (``{e}``): one under another in ours, ``sizes`` rows each, and the
    experts stacked."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...]
    count: int

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), tuple(name.replace("{e}", str(e)) for e in range(self.count) for name in self.theirs)

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        return [torch.cat(theirs).unflatten(0, (self.count, -1))]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        return [part.contiguous() for expert in ours[0].unbind() for part in expert.split(self.sizes)]


@dataclass(frozen=True)
class Heads:
    """Projections that they keep with the heads apart, ``[D, H, K]`` (XLNet): one under another they are ours,
    ``[n H K, D]``; one that leads back from the heads (``outwards``) is ``[D, H K]``."""

    ours: str
    theirs: tuple[str, ...]
    heads: int
    outwards: bool = False

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return (self.ours,), self.theirs

    def to_ours(self, theirs: list[Tensor]) -> list[Tensor]:
        if any(tensor.dim() != 3 or tensor.shape[1] != self.heads for tensor in theirs):
            raise RuntimeError(f"not matrices of {self.heads} heads")
        flat = [tensor.flatten(1) for tensor in theirs]
        return flat if self.outwards else [torch.cat([matrix.mT for matrix in flat])]

    def to_theirs(self, ours: list[Tensor]) -> list[Tensor]:
        flat = ours if self.outwards else [part.mT for part in ours[0].chunk(len(self.theirs))]
        return [matrix.reshape(matrix.shape[0], self.heads, -1).contiguous() for matrix in flat]


Entry = Rename | Transpose | Row | Fuse | Split | Stack | StackFused | Heads


@dataclass(frozen=True)
class WeightMap:
    """The entries of one architecture, and how often the ones with ``{i}`` are repeated.

    ``tied`` names parameters of ours that are the same tensor as another one and are not stored;
    ``ignored`` names (patterns of) their tensors that carry nothing (old causal-mask buffers).
    """

    entries: tuple[Entry, ...]
    layers: int = 0
    tied: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def expand(self) -> Iterator[tuple[Entry, tuple[str, ...], tuple[str, ...]]]:
        """Every entry with its concrete names, ours and theirs, layer after layer."""
        for entry in self.entries:
            ours, theirs = entry.names()
            if any("{i}" in name for name in ours + theirs):
                for i in range(self.layers):
                    yield entry, tuple(_at(name, i) for name in ours), tuple(_at(name, i) for name in theirs)
            else:
                yield entry, ours, theirs

    def ignored_names(self) -> set[str]:
        """Their names that may be present and are not read."""
        return {_at(name, i) for name in self.ignored for i in range(max(self.layers, 1))}


def _at(pattern: str, layer: int) -> str:
    return pattern.replace("{i}", str(layer))


class InParts(ABC):
    """An ``assign`` for ``load_into`` that takes stacked tensors matrix by matrix: they are never there whole."""

    @abstractmethod
    def __call__(self, name: str, tensor: Tensor) -> None:
        """A whole tensor of ours."""

    @abstractmethod
    def takes(self, name: str) -> bool:
        """Whether the stacked tensor ``name`` of ours is taken so."""

    @abstractmethod
    def part(self, name: str, tensor: Tensor) -> None:
        """The next matrix of the stacked tensor ``name``."""


def load_into(
    model: nn.Module,
    weight_map: WeightMap,
    names: Iterable[str],
    read: Callable[[str], Tensor],
    assign: Callable[[str, Tensor], None] | None = None,
) -> None:
    """Fill ``model`` from tensors called ``names`` that ``read`` fetches one at a time.

    ``assign(our_name, tensor)`` replaces the plain copy (a quantiser). Raises ``CheckpointError``
    listing everything missing, unexpected or mis-shaped, before any parameter is touched by a
    wrong tensor: names are compared first, shapes as they arrive.
    """
    _check_names(model, weight_map, set(names))
    targets = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers())
    wrong: list[str] = []
    for entry, ours, theirs in weight_map.expand():
        if isinstance(entry, Stack | StackFused) and isinstance(assign, InParts) and assign.takes(ours[0]):
            wrong += _in_parts(entry, ours[0], theirs, targets[ours[0]].shape[1:], read, assign)
            continue
        converted = _converted(entry, theirs, read, wrong)
        if not converted:
            continue
        for name, tensor in zip(ours, converted, strict=True):
            target = targets[name]
            if tensor.shape != target.shape:
                wrong.append(f"{' + '.join(theirs)}: {list(tensor.shape)}, the model has {list(target.shape)}")
            elif assign is not None:
                assign(name, tensor)
            else:
                with torch.no_grad():
                    target.copy_(tensor)
    if wrong:
        raise CheckpointError(
            f"{len(wrong)} tensor(s) of the checkpoint have another shape than config.json says",
            received="\n".join(wrong),
            fix="the weights and config.json come from different models: take both from one folder",
        )


def _converted(entry: Entry, theirs: tuple[str, ...], read: Callable[[str], Tensor], wrong: list[str]) -> list[Tensor]:
    """Ours from theirs; none, and a line in ``wrong``, where these cannot even be cut or joined."""
    tensors = [read(name) for name in theirs]
    try:
        return entry.to_ours(tensors)
    except RuntimeError:
        wrong.append(f"{' + '.join(theirs)}: {' + '.join(str(list(tensor.shape)) for tensor in tensors)} do not fit")
        return []


def _in_parts(
    entry: Stack | StackFused,
    ours: str,
    theirs: tuple[str, ...],
    shape: torch.Size,
    read: Callable[[str], Tensor],
    assign: InParts,
) -> list[str]:
    """Reads and assigns one matrix of a stacked tensor after the other; what is wrong with them."""
    wrong: list[str] = []
    each = len(theirs) // entry.count
    for start in range(0, len(theirs), each):
        names = theirs[start : start + each]
        for stack in _converted(replace(entry, count=1), names, read, wrong):
            if stack.shape[1:] == shape:
                assign.part(ours, stack[0])
            else:
                wrong.append(f"{' + '.join(names)}: {list(stack.shape[1:])}, the model has {list(shape)}")
    return wrong


def _check_names(model: nn.Module, weight_map: WeightMap, present: set[str]) -> None:
    needed = {name for _, _, theirs in weight_map.expand() for name in theirs}
    missing, unexpected = needed - present, present - needed - weight_map.ignored_names()
    mapped = {name for _, ours, _ in weight_map.expand() for name in ours} | set(weight_map.tied)
    assert mapped == set(model.state_dict()), f"weight map and model differ: {sorted(mapped ^ set(model.state_dict()))}"
    if missing or unexpected:
        lines = [f"missing: {name}" for name in sorted(missing)] + [f"unexpected: {n}" for n in sorted(unexpected)]
        raise CheckpointError(
            "the checkpoint's tensors are not those of its config.json",
            received="\n".join(lines[:20] + ([f"... and {len(lines) - 20} more"] if len(lines) > 20 else [])),
            expected=f"{len(needed)} tensors",
            fix="check model_type and the layer count in config.json, or download the checkpoint again",
        )


def export(state: Mapping[str, Tensor], weight_map: WeightMap) -> Iterator[tuple[str, Tensor]]:
    """Their ``(name, tensor)`` pairs from our state dict, one entry at a time; every tensor of ours is used."""
    mapped = {name for _, ours, _ in weight_map.expand() for name in ours} | set(weight_map.tied)
    assert mapped == set(state), f"weight map and model differ: {sorted(mapped ^ set(state))}"
    for entry, ours, theirs in weight_map.expand():
        yield from zip(theirs, entry.to_theirs([state[name] for name in ours]), strict=True)
