"""How much memory a computation needs, by rehearsing it: the real network and its real update, without any numbers.

Nothing here knows an architecture or a method. What the network keeps for the backward pass, what a frozen weight
spares, what is computed again, packed, cut in pieces or shared: all of it is found because the very same code runs, and
its storages are counted (`trivium.planning.ledger`) while no floating number has a value (`weightless`). A model of 65
billion parameters is rehearsed in seconds on a laptop.

The rehearsal is of the CPU's kernels. A GPU's attention keeps the same tensors; its context is beside (`process`).
Not counted is what the backward pass of an LSTM has for itself inside its kernel (oneDNN lays out the matrices anew):
the real peak of a small LSTM was 9.5 % more.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.counting import numbers_in
from trivium.planning.ledger import Ledger
from trivium.planning.weightless import Weightless, take_place

Prepare = Callable[[nn.Module], object]
"""``prepare(network)`` makes of it what is trained or used: packed, with its adapters, its blocks checkpointed."""
Compute = Callable[[Any], Tensor]
"""``compute(network) -> total``: the summed loss of a micro-batch, which it makes itself."""
Update = Callable[[nn.Module], Callable[[], object]]
"""``update(network) -> step``: makes the optimisers of what is trained, and gives what does one update."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of tensors at the moment when they are most, by what they are."""

    weights: int
    """Parameters and buffers, in the number format that they are kept in."""
    adapters: int = 0
    """Trained parameters beside frozen ones; where nothing is frozen they are weights."""
    gradients: int = 0
    """Of what is trained, as far as they are there at that moment."""
    optimiser: int = 0
    """What the optimiser remembers from one update to the next."""
    cache: int = 0
    """Of generation: keys and values, or a recurrent state."""
    activations: int = 0
    """What the forward pass keeps for the backward pass, as far as it is still there at that moment."""
    temporaries: int = 0
    """What is computed and dropped: the logits of a piece, an unpacked matrix, a block computed anew."""

    @property
    def tensors(self) -> int:
        """All of them."""
        return sum(getattr(self, field.name) for field in dataclasses.fields(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What one update, or one text read, comes to."""

    moments: tuple[Memory, ...]
    """The most of each part of it: of the forward pass, of the two halves of the backward pass, of the update. Within
    each what is held grows or falls evenly from block to block, so that its most is at one of its ends."""
    parameters: int
    """Numbers of the network before they are packed, shared ones counted once."""
    trained_parameters: int
    operations: int
    """Of matrix products and attention, forwards and backwards; a multiply and an add are two."""
    heap: int
    """Bytes that the heap of a process on the CPU grows to for the tensors, with the holes that stay between them. It
    begins with the weights as they stay: a base is packed tensor by tensor while it is read, never there in full."""

    @property
    def memory(self) -> Memory:
        """The most of all."""
        return max(self.moments, key=lambda moment: moment.tensors)


def of(
    network: nn.Module,
    compute: Compute,
    *,
    prepare: Prepare | None = None,
    update: Update | None = None,
    micro_batches: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Rehearsed:
    """Rehearses one update of training that goes on: the optimiser's state is there from the beginning.

    ``network`` was built on the meta device, and is of no use afterwards. ``dtype`` is what the forward pass computes
    in (autocast). Without ``update`` nothing is updated, and no state is kept.
    """
    with Weightless() as rehearsal:
        ledger = rehearsal.ledger
        _begin(network, prepare)
        network.train()
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        assert trained, "nothing is trained"
        weights = ledger.alive
        step = None if update is None else update(network)
        first = [] if step is None else _first_update(ledger, trained, step)
        optimiser, begun = ledger.alive - weights, ledger.place
        ledger.begin()
        rehearsal.operations = 0
        kept: set[int] = set()
        places: list[int] = []
        for _ in range(micro_batches):
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                total = compute(network)
            kept |= ledger.alive - weights - optimiser
            forward = ledger.place
            total.backward()
            del total
            places += [forward, (forward + ledger.place) // 2, ledger.place]
        gradients = ledger.numbers_of(p.grad for p in trained if p.grad is not None)
        once = ledger.repeated(begun, ledger.place)
        if step is not None:
            step()
        second = ledger.between(begun, ledger.place)
        parts = {"weights": weights, "optimiser": optimiser, "gradients": gradients, "activations": kept}
        adapters = ledger.numbers_of(trained)
        if ledger.bytes_of(adapters) < ledger.bytes_of(weights) and _has_frozen(network):
            parts = {"adapters": adapters, **parts}
        return Rehearsed(
            moments=_moments(ledger, parts, *places, ledger.place),
            parameters=numbers_in(network),
            trained_parameters=sum(parameter.numel() for parameter in trained),
            operations=rehearsal.operations,
            heap=ledger.heap([*sorted(weights), *once, *first, *_dropped(once), *second]),
        )


def of_reading(
    network: nn.Module, read: Callable[[Any, Callable[[], None]], object], *, prepare: Prepare | None = None
) -> Rehearsed:
    """Rehearses a computation without gradients; ``read(network, begun)`` calls ``begun`` when its cache is there.

    ``network`` was built on the meta device, and is of no use afterwards.
    """
    with Weightless() as rehearsal, torch.no_grad():
        ledger = rehearsal.ledger
        _begin(network, prepare)
        network.eval()
        weights, begun = ledger.alive, ledger.place
        ledger.begin()
        rehearsal.operations = 0
        cache: set[int] = set()
        read(network, lambda: cache.update(ledger.alive - weights))
        return Rehearsed(
            moments=_moments(ledger, {"weights": weights, "cache": cache}, ledger.place),
            parameters=numbers_in(network),
            trained_parameters=0,
            operations=rehearsal.operations,
            heap=ledger.heap([*sorted(weights), *ledger.between(begun, ledger.place)]),
        )


def _begin(network: nn.Module, prepare: Prepare | None) -> None:
    take_place(network)
    if prepare is not None:
        prepare(network)


def _first_update(ledger: Ledger, trained: list[nn.Parameter], step: Callable[[], object]) -> list[int]:
    """After it the optimiser has all that it remembers. Gives the births and deaths of the step."""
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    begun = ledger.place
    step()
    events = ledger.between(begun, ledger.place)
    for parameter in trained:
        parameter.grad = None
    return events


def _dropped(events: list[int]) -> list[int]:
    """The deaths of what these events leave alive: the gradients of the first update."""
    dead = {~event for event in events if event < 0}
    return [~event for event in events if event >= 0 and event not in dead]


def _moments(ledger: Ledger, parts: dict[str, set[int]], *places: int) -> tuple[Memory, ...]:
    return tuple(_parts(ledger, parts, held) for held in ledger.at_peaks(*places))


def _parts(ledger: Ledger, parts: dict[str, set[int]], held: set[int]) -> Memory:
    """What was held; a storage belongs to the first part that has it, and else to the temporaries."""
    left, found = set(held), {}
    for name, numbers in parts.items():
        found[name] = ledger.bytes_of(left & numbers)
        left -= numbers
    return Memory(**found, temporaries=ledger.bytes_of(left))


def _has_frozen(network: nn.Module) -> bool:
    packed = any(buffer.dtype == torch.uint8 for buffer in network.buffers())
    return packed or any(not parameter.requires_grad for parameter in network.parameters())
