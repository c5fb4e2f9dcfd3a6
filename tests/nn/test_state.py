"""The verbs of a state, for every kind of layer."""

import pytest
import torch
from torch.utils import _pytree as pytree

from trivium.errors import Unsupported
from trivium.nn.state import KeyValueCache, Memory, RecurrentState, State


def cache_state() -> State:
    keys = torch.arange(3 * 2 * 4 * 5.0).view(3, 2, 4, 5)
    return State([KeyValueCache(keys, -keys)], torch.tensor([1, 4, 2]))


def recurrent_state() -> State:
    h = torch.arange(6.0).view(3, 2)
    return State([RecurrentState((h, h + 10))], torch.tensor([1, 4, 2]))


def test_take_reorders_repeats_and_drops() -> None:
    for state in (cache_state(), recurrent_state()):
        taken = state.take(torch.tensor([2, 0, 2]))
        assert taken.lengths.tolist() == [2, 1, 2] and taken.rows == 3
        before, after = pytree.tree_leaves(state.layers), pytree.tree_leaves(taken.layers)
        assert all(torch.equal(b[[2, 0, 2]], a) for b, a in zip(before, after, strict=True))


def test_join_puts_the_others_behind() -> None:
    for state in (cache_state(), recurrent_state()):
        first, rest = state.take(torch.tensor([0])), state.take(torch.tensor([1, 2]))
        joined = first.join(rest)
        assert joined.lengths.tolist() == [1, 4, 2]
        for a, b in zip(pytree.tree_leaves(joined), pytree.tree_leaves(state), strict=True):
            assert torch.equal(a, b)


def test_keep_restarts_rows() -> None:
    mask = torch.tensor([True, False, True])
    assert cache_state().keep(mask).lengths.tolist() == [1, 0, 2]
    kept = recurrent_state().keep(mask).layers[0]
    assert isinstance(kept, RecurrentState)
    assert kept.tensors[1].tolist() == [[10, 11], [0, 0], [14, 15]]


def test_rollback_shortens_a_cache_and_is_refused_by_a_recurrence() -> None:
    assert cache_state().rollback(torch.tensor([0, 3, 2])).lengths.tolist() == [0, 3, 2]
    with pytest.raises(AssertionError):
        cache_state().rollback(torch.tensor([2, 3, 2]))
    with pytest.raises(Unsupported, match="cannot be rolled back"):
        recurrent_state().rollback(torch.tensor([0, 3, 2]))


def test_room_is_made_once_and_rows_are_put_into_it() -> None:
    for state in (cache_state(), recurrent_state()):
        room = state.reserve(5, 6)
        assert room.lengths.tolist() == [1, 4, 2, 0, 0]
        for before, after in zip(pytree.tree_leaves(state.layers), pytree.tree_leaves(room.layers), strict=True):
            inside = tuple(slice(0, size) for size in before.shape)
            assert torch.equal(after[inside], before) and after[3:].abs().sum() == 0
        put = room.put(torch.tensor([4, 0]), state.take(torch.tensor([2, 1])))
        assert put.lengths.tolist() == [4, 4, 2, 0, 2]
        for before, after in zip(pytree.tree_leaves(state.layers), pytree.tree_leaves(put.layers), strict=True):
            span = before[:, :, :4] if before.ndim == 4 else before  # the longest of the rows put in holds 4 tokens
            target = after[:, :, :4] if before.ndim == 4 else after
            assert torch.equal(target[[4, 0, 1]], span[[2, 1, 1]])


def test_first_is_a_view_that_is_written_in_place() -> None:
    state = cache_state()
    first = state.first(2)
    assert first.lengths.tolist() == [1, 4]
    first.layers[0].keys.zero_()
    assert state.layers[0].keys[:2].abs().sum() == 0 < state.layers[0].keys[2:].abs().sum()
    grown = state.put(torch.tensor([0, 1]), State(first.layers, torch.tensor([2, 4])))
    assert grown.lengths.tolist() == [2, 4, 2] and grown.layers[0].keys is state.layers[0].keys


def test_sources_longer_than_the_room_make_it_wider() -> None:
    room = Memory(((torch.ones(2, 2, 3, 4),),), torch.tensor([3, 2])).reserve(3)
    put = room.put(torch.tensor([2]), Memory(((2 * torch.ones(1, 2, 5, 4),),), torch.tensor([5])))
    assert put.lengths.tolist() == [3, 2, 5]
    assert put.tensors[0][0].shape == (3, 2, 5, 4) and put.tensors[0][0][0, :, 3:].abs().sum() == 0
    assert put.tensors[0][0][2].eq(2).all()
    assert put.first(2).lengths.tolist() == [3, 2]


def test_detach_cuts_the_graph() -> None:
    h = torch.ones(1, 2, requires_grad=True)
    state = State([RecurrentState((h * 2, h * 3))], torch.tensor([1]))
    assert all(not leaf.requires_grad for leaf in pytree.tree_leaves(state.detach()))


def test_memories_of_unequal_sources_join() -> None:
    short = Memory(((torch.ones(1, 2, 3, 4),),), torch.tensor([3]))
    long = Memory(((2 * torch.ones(2, 2, 5, 4),),), torch.tensor([5, 4]))
    joined = short.join(long)
    assert joined.lengths.tolist() == [3, 5, 4]
    assert joined.tensors[0][0].shape == (3, 2, 5, 4) and joined.tensors[0][0][0, :, 3:].abs().sum() == 0


def test_states_are_pytrees() -> None:
    doubled = pytree.tree_map(lambda leaf: leaf * 2, cache_state())
    assert isinstance(doubled, State) and doubled.lengths.tolist() == [2, 8, 4]


def _remembering(rows: list[int]) -> State:
    """A state of rows that read some of the sources 0, 1 and 2."""
    layer = (torch.arange(3.0)[:, None, None, None].expand(3, 2, 4, 5), torch.zeros(3, 2, 4, 5))
    cache = KeyValueCache(*(torch.arange(3 * 2 * 4 * 5.0).view(3, 2, 4, 5) for _ in range(2)))
    return State([cache], torch.zeros(3, dtype=torch.long), Memory((layer,), torch.tensor([2, 3, 4]))).take(
        torch.tensor(rows)
    )


@pytest.mark.parametrize(
    ("rows", "shared"),
    [([0, 0, 1, 1, 2, 2], [0, 1, 2]), ([2, 2, 2, 2, 0, 0], [2, 2, 0]), ([0, 1, 1], [0, 1, 1]), ([1, 1, 1], [1])],
)
def test_rows_of_one_source_share_what_is_remembered_of_it(rows: list[int], shared: list[int]) -> None:
    state = _remembering(rows)
    assert state.memory is not None
    assert state.memory.tensors[0][0][:, 0, 0, 0].tolist() == shared
    assert state.memory.lengths.tolist() == [source + 2 for source in shared]
    assert state.memory.unshared(state.rows).lengths.tolist() == [source + 2 for source in rows]
    for verb in (state.join(state), state.reserve(len(rows), 4), state.first(len(rows))):
        assert verb.memory is not None and verb.memory.lengths[: len(rows)].tolist() == [source + 2 for source in rows]
    taken = state.take(torch.arange(len(rows)).flip(0)).memory
    assert taken is not None and taken.unshared(len(rows)).lengths.tolist() == [source + 2 for source in rows[::-1]]


def test_what_is_no_keys_and_values_is_remembered_by_row() -> None:
    memory = Memory(((torch.ones(2, 3), torch.ones(2, 4, 3)),), torch.tensor([3, 2]))
    state = State([], torch.zeros(2, dtype=torch.long), memory).take(torch.tensor([0, 0, 1, 1]))
    assert state.memory is not None and state.memory.lengths.tolist() == [3, 3, 2, 2]


def test_reorder_is_take_in_place_up_to_the_longest_row() -> None:
    state, rows = cache_state(), torch.tensor([2, 2, 0])
    taken, cache = state.take(rows), state.layers[0]
    state = State([cache], torch.tensor([1, 3, 2]))
    beyond = cache.keys[:, :, 3:].clone()
    done = state.reorder(rows)
    assert done.layers[0] is cache and done.lengths.tolist() == [2, 2, 1]
    assert torch.equal(cache.keys[:, :, :3], taken.layers[0].keys[:, :, :3])
    assert torch.equal(cache.values[:, :, :3], -cache.keys[:, :, :3]) and torch.equal(cache.keys[:, :, 3:], beyond)
