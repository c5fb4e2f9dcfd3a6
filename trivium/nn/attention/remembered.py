"""Attention of new tokens to what their rows have read before, which a cache holds."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.nn.attention.kernel import Scoring, weigh
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.local import near
from trivium.nn.attention.past import attend_past
from trivium.nn.ring import SLACK, WindowCache
from trivium.nn.state import KeyValueCache

Cache = KeyValueCache | WindowCache


def write(cache: Cache, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"], layout: Layout) -> None:
    """Puts new keys and values where ``layout`` says."""
    assert cache.capacity is None or layout.span <= cache.capacity, (
        f"{layout.span} tokens in a cache of {cache.capacity}: allocate a larger state"
    )
    if layout.start is not None:
        cache.append(k, v, layout.start)
        return
    assert layout.rows is not None and layout.slots is not None and layout.sources is not None
    flat = (x.transpose(1, 2).flatten(0, 1)[layout.sources] for x in (k, v))
    cache.place(*flat, layout.rows, layout.slots)


def attend_remembered(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    cache: Cache,
    layout: Layout,
    how: Scoring,
) -> Float[Tensor, "B H T W"]:
    """New tokens of rows of which some were read before; the new keys and values are written."""
    if isinstance(cache, WindowCache):
        assert how.window is not None and how.window <= cache.window, "what is looked at must be held"
        if layout.span > cache.slots:
            return _attend_ring(q, k, v, cache, layout, how)
    write(cache, k, v, layout)
    if layout.slices is not None:
        return _attend_ragged(q, cache, layout, how)
    return _attend_slots(q, cache, layout, how)


# Where a slot is a position -------------------------------------------------------------------------------------------


def _attend_slots(q: Tensor, cache: Cache, layout: Layout, how: Scoring) -> Tensor:
    """What lies before every row's window is not touched."""
    begin, mask = 0, layout.mask
    if how.window is not None and layout.span > how.window:
        begin = max(0, int(layout.positions.min()) - how.window + 1)
        seen = near(layout.positions, layout.key_positions[begin:], how.window, causal=True)[:, None]
        mask = seen if mask is None else mask[..., begin:] & seen
    keys, values = cache.keys[:, :, begin : layout.span], cache.values[:, :, begin : layout.span]
    added = None if how.bias is None else how.bias(layout.positions, layout.key_positions[begin:])
    return weigh(q, keys, values, how, mask=mask, added=added)


def _attend_ragged(q: Tensor, cache: Cache, layout: Layout, how: Scoring) -> Tensor:
    """New tokens of several rows (``[1, N]``): one product a row."""
    out = q.new_empty(*q.shape[:3], cache.values.shape[3])
    for row, here, start in pieces(layout):
        first = 0 if how.window is None else max(0, start - how.window + 1)
        span = start + here.stop - here.start
        keys, values = cache.keys[row : row + 1, :, first:span], cache.values[row : row + 1, :, first:span]
        out[:, :, here] = attend_past(q[:, :, here], keys, values, how, first=first)
    return out


# Where the ring went round --------------------------------------------------------------------------------------------


def _attend_ring(q: Tensor, k: Tensor, v: Tensor, cache: WindowCache, layout: Layout, how: Scoring) -> Tensor:
    if layout.slices is None and q.shape[2] <= SLACK + 1:  # they do not write over what the first of them sees
        write(cache, k, v, layout)
        return _attend_round(q, cache, layout, how)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    for rows, here, owner, start in _texts(layout, q.shape[0], q.shape[2]):
        keys, values = (
            torch.cat([old, new[rows, :, here]], dim=2)
            for old, new in zip(cache.before(owner, start), (k, v), strict=True)
        )
        first = start + here.stop - here.start - keys.shape[2]
        out[rows, :, here] = attend_past(q[rows, :, here], keys, values, how, first=first)
    write(cache, k, v, layout)
    return out


def _attend_round(q: Tensor, cache: WindowCache, layout: Layout, how: Scoring) -> Tensor:
    """A few tokens, over the slots as they stand."""
    keys = cache.positions(_ends(layout, q.shape[2]))
    assert how.window is not None
    seen = near(layout.positions, keys, how.window, causal=True) & (keys >= 0)[:, None]
    added = None if how.bias is None else how.bias(layout.positions, keys)
    return weigh(q, cache.keys, cache.values, how, mask=seen[:, None], added=added)


def _ends(layout: Layout, length: int) -> Int[Tensor, "R"]:
    """How many tokens each row holds now; one number where all are alike."""
    before = layout.positions[:, 0]
    if layout.start is not None:
        return before + length
    assert layout.rows is not None and layout.slots is not None
    return before.scatter_reduce(0, layout.rows, layout.slots + 1, "amax")


def _texts(layout: Layout, count: int, length: int) -> Iterator[tuple[slice, slice, slice, int]]:
    """Tokens in a row: where they stand among the queries (rows and columns), whose they are, and the position of the
    first."""
    if layout.slices is not None:
        for row, here, start in pieces(layout):
            yield slice(0, 1), here, slice(row, row + 1), start
    elif layout.start is not None:
        yield slice(0, count), slice(0, length), slice(0, count), layout.start
    else:
        for row, start in enumerate(layout.positions[:, 0].tolist()):
            yield slice(row, row + 1), slice(0, length), slice(row, row + 1), start


def pieces(layout: Layout) -> Iterator[tuple[int, slice, int]]:
    """Of packed tokens ``[1, N]``: the row of the state, the columns, and the position of the first."""
    assert layout.slices is not None and layout.rows is not None
    for group in layout.slices.groups:
        for begin in group[:, 0].tolist():
            yield int(layout.rows[begin]), slice(begin, begin + group.shape[1]), int(layout.positions[0, begin])
