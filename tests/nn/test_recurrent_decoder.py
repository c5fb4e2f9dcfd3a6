"""Where a recurrent decoder begins after its source, and what it carries on."""

import pytest
import torch
from torch import nn

from trivium.errors import Unsupported, UserError
from trivium.nn.recurrent import RecurrentLayer
from trivium.nn.recurrent_decoder import begun, carried, read_target, ready, refuse_attention, with_source
from trivium.nn.state import Memory, RecurrentState, State

FIRST = [(torch.ones(3, 2), 2 * torch.ones(3, 2)), (3 * torch.ones(3, 4),)]
MEMORY = Memory(tuple(FIRST), torch.tensor([4, 1, 2]))


def test_rows_begin_with_their_source_or_go_on() -> None:
    state = ready(MEMORY, FIRST, 9)
    assert state.lengths.tolist() == [0, 0, 0]
    zeros = [RecurrentState(tuple(torch.zeros_like(t) for t in tensors)) for tensors in FIRST]
    state = State(zeros, torch.tensor([5, 0, 1]), MEMORY)
    for layer, tensors in zip(begun(state, FIRST), FIRST, strict=True):
        for ours, first in zip(layer.tensors, tensors, strict=True):
            assert not ours[[0, 2]].any()
            assert torch.equal(ours[1], first[1])


def test_without_room_nothing_is_carried() -> None:
    state = ready(MEMORY, FIRST, 0)
    assert state.layers == []
    assert [layer.tensors for layer in begun(state, FIRST)] == FIRST
    assert carried(state, begun(state, FIRST), 3) is state
    after = carried(ready(MEMORY, FIRST, 1), begun(state, FIRST), torch.tensor([1, 0, 2]))
    assert after.lengths.tolist() == [1, 0, 2]
    assert after.memory is MEMORY


@pytest.mark.parametrize("capacity", [0, 5])
def test_a_stack_reads_on_from_there(capacity: int) -> None:
    layers = nn.ModuleList([RecurrentLayer(4, 2, "lstm"), RecurrentLayer(2, 4, "gru")])
    x, dropouts = torch.randn(3, 5, 4), [nn.Identity()] * 2
    lengths = torch.tensor([5, 2, 3])
    state = ready(MEMORY, FIRST, capacity)
    outputs, after = read_target(layers, x, dropouts, FIRST, lengths=lengths, segments=None, state=state)
    inner, last = layers[0](x, None, RecurrentState(FIRST[0]))
    outer, _ = layers[1](inner, None, RecurrentState(FIRST[1]))
    for b, n in enumerate(lengths):
        torch.testing.assert_close(outputs[0][b, :n], inner[b, :n])
        torch.testing.assert_close(outputs[1][b, :n], outer[b, :n])
    assert after.memory is MEMORY
    if not capacity:
        assert after is state
        return
    assert after.lengths.tolist() == [5, 2, 3]
    torch.testing.assert_close(after.layers[0].tensors[1][0], last.tensors[1][0])
    torch.testing.assert_close(after.layers[1].tensors[0][1], outer[1, 1])


def test_what_is_missing_is_said() -> None:
    for state in (None, State([], torch.zeros(1, dtype=torch.long))):
        with pytest.raises(UserError, match=r"model\.encode"):
            with_source(state)
    with pytest.raises(Unsupported, match="no attention"):
        refuse_attention(("hidden", "cross_attention"))
    refuse_attention(("hidden",))
