"""Recurrent decoders: where they begin after a source, and one call through a stack of layers.

A row begins with what its source says, whether it is new or was emptied by ``State.keep``; so the first states are
kept in the ``Memory``, beside whatever else is kept of the source.
"""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported, UserError
from trivium.nn.recurrent import read
from trivium.nn.state import Memory, RecurrentState, State

First = Sequence[tuple[Float[Tensor, "_ _"], ...]]
"""What each layer of the decoder begins with."""


def ready(memory: Memory, first: First, capacity: int) -> State:
    """The state after a source: with layers to carry on if there is ``capacity`` for target tokens; without where the
    whole target is given at once, as in training."""
    layers = [RecurrentState(tensors) for tensors in first] if capacity else []
    return State(list(layers), torch.zeros_like(memory.lengths), memory)


def with_source(state: State | None) -> tuple[State, Memory]:
    """The state, and what ``encode`` kept in it of the source; ``UserError`` where there is none."""
    if state is None or state.memory is None:
        raise UserError("an encoder-decoder needs its source", fix="state = model.encode(source, lengths)")
    return state, state.memory


def begun(state: State, first: First) -> list[RecurrentState]:
    """The layers' states, ``first`` in the rows that have read nothing yet."""
    if not state.layers:
        return [RecurrentState(tensors) for tensors in first]
    unread = (state.lengths == 0)[:, None]
    layers = []
    for tensors, layer in zip(first, state.layers, strict=True):
        assert isinstance(layer, RecurrentState)
        pairs = zip(tensors, layer.tensors, strict=True)
        layers.append(RecurrentState(tuple(torch.where(unread, new, carried) for new, carried in pairs)))
    return layers


def carried(state: State, layers: Sequence[RecurrentState], appended: Int[Tensor, "B"] | int) -> State:
    """``state`` with its layers after ``appended`` more tokens a row; one that carries nothing stays as it is."""
    return State(list(layers), state.lengths + appended, state.memory) if state.layers else state


def read_target(
    layers: nn.ModuleList,
    x: Float[Tensor, "B T W"],
    dropouts: Sequence[nn.Module],
    first: First,
    *,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    state: State,
) -> tuple[list[Tensor], State]:
    """One call through a stack, as ``recurrent.read``, from ``first`` or from where ``state`` stands.

    Where nothing is carried on, padded rows are read to their ends: whole rows take the faster kernel, and what a row
    gives beyond its length is garbage that nobody reads.
    """
    before = State(list(begun(state, first)), state.lengths)
    counted = lengths if state.layers else None
    outputs, after = read(layers, x, dropouts, lengths=counted, segments=segments, state=before)
    assert after is not None
    return outputs, State(after.layers, after.lengths, state.memory) if state.layers else state


def refuse_attention(names: Collection[str]) -> None:
    """``Unsupported`` where ``collect`` asks a decoder that has no attention for it."""
    if "attention" in names or "cross_attention" in names:
        raise Unsupported(
            "a decoder with one fixed context has no attention to collect",
            received="collect attention",
            expected="hidden",
        )
