"""Scaled dot-product attention, softmax(q k^T / sqrt(K)) v (Vaswani et al. 2017, eq. 1), over any ``Layout``."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from trivium.nn.attention.layout import Layout
from trivium.nn.attention.local import attend_near, near
from trivium.nn.state import KeyValueCache

Bias = Callable[[Int[Tensor, "..."], Int[Tensor, "..."]], Float[Tensor, "..."]]
"""``bias(query_positions [.., T], key_positions [.., S]) -> [.., H, T, S]``, added to the scores (T5, ALiBi)."""


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T K"],
    layout: Layout,
    *,
    cache: KeyValueCache | None = None,
    scale: float | None = None,
    bias: Bias | None = None,
    window: int | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T K"]:
    """Attention of every token to what ``layout`` lets it see; with ``cache``, new keys and values are
    written to it first.

    ``G`` key heads may serve ``H`` query heads (grouped-query attention, Ainslie et al. 2023).
    ``scale`` defaults to K ** -0.5. ``dropout`` is applied to the probabilities. With ``window`` a token of a
    bidirectional encoder sees what is at most so many positions away within its document, on either side.
    """
    if window is not None:
        assert cache is None and bias is None and not layout.causal, "a window is for encoders"
        return _attend_window(q, k, v, layout, window, scale, dropout)
    if cache is not None:
        write(cache, k, v, layout)
    if layout.slices is not None:
        if layout.fresh or cache is None:
            return _attend_slices(q, k, v, layout, scale, bias, dropout)
        return _attend_ragged(q, cache, layout, scale, bias)
    if not layout.fresh and cache is not None:
        k, v = cache.keys[:, :, : layout.span], cache.values[:, :, : layout.span]
    added = None if bias is None else bias(layout.positions, layout.key_positions)
    causal = layout.causal and layout.fresh
    return _sdpa(q, k, v, layout.mask, added, causal, scale, dropout)


def cross_attend(
    q: Float[Tensor, "B H T K"],
    keys: Float[Tensor, "R H S K"],
    values: Float[Tensor, "R H S K"],
    source_lengths: Int[Tensor, "R"],
    *,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T K"]:
    """Attention of every target token to the valid part of its row's source, which ``B / R`` rows may share.

    Rows of one source stand in line as its queries, so that its keys and values are read once for all of them.
    """
    mask = None
    if int(source_lengths.min()) < keys.shape[2]:
        mask = (torch.arange(keys.shape[2], device=q.device) < source_lengths[:, None])[:, None, None, :]
    mixed = _sdpa(_by_source(q, keys.shape[0]), keys, values, mask, None, False, scale, dropout)
    return _by_row(mixed, q.shape[0])


def attention_probabilities(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    layout: Layout,
    *,
    scale: float | None = None,
    bias: Bias | None = None,
    window: int | None = None,
) -> Float[Tensor, "B H T T"]:
    """The probabilities themselves, for people to look at; only for calls without a cache.

    This is the plain, whole-matrix computation: tests hold the faster paths against it.
    """
    scores = q @ _repeat_heads(k, q.shape[1]).transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        # Packed documents count their keys anew as well; what is wrong across documents is masked below.
        keys = layout.key_positions if layout.slices is None else layout.positions
        scores = scores + bias(layout.positions, keys)
    visible = dense_mask(layout, q.shape[0], q.shape[2], window)
    return torch.softmax(scores.masked_fill(~visible, float("-inf")), dim=-1).nan_to_num(0.0)


def cross_attention_probabilities(
    q: Float[Tensor, "B H T K"],
    keys: Float[Tensor, "R H S K"],
    source_lengths: Int[Tensor, "R"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "B H T S"]:
    """What ``cross_attend`` weighs the source by, to look at: alignments, and the coverage of a translation."""
    folded = _by_source(q, keys.shape[0])
    scores = folded @ keys.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    real = torch.arange(keys.shape[2], device=q.device) < source_lengths[:, None]
    return _by_row(torch.softmax(scores.masked_fill(~real[:, None, None], float("-inf")), dim=-1), q.shape[0])


def _by_source(x: Float[Tensor, "B H T K"], sources: int) -> Float[Tensor, "R H N K"]:
    """The tokens of rows that share a source, one row after the other."""
    if x.shape[0] == sources:
        return x
    return x.unflatten(0, (sources, -1)).transpose(1, 2).flatten(2, 3)


def _by_row(x: Float[Tensor, "R H N K"], rows: int) -> Float[Tensor, "B H T K"]:
    """And back."""
    if x.shape[0] == rows:
        return x
    return x.unflatten(2, (rows // x.shape[0], -1)).transpose(1, 2).flatten(0, 1)


def dense_mask(layout: Layout, rows: int, length: int, window: int | None = None) -> Tensor:
    """The boolean ``[B, 1, T, T]`` mask that ``layout`` (and ``window``) stands for when there is no cache."""
    device = layout.positions.device
    visible = torch.ones(rows, 1, length, length, dtype=torch.bool, device=device)
    if layout.causal:
        visible = visible.tril()
    if window is not None:
        visible = visible & near(layout.positions, layout.positions, window)[:, None]
    if layout.mask is not None:
        visible = visible & layout.mask
    if layout.slices is not None:
        document = torch.full((rows * length,), -1, dtype=torch.long, device=device)
        number = 0
        for group in layout.slices.groups:
            document[group] = torch.arange(number, number + group.shape[0], device=device)[:, None]
            number += group.shape[0]
        document = document.view(rows, length)
        visible = (
            visible & (document[:, None, :, None] == document[:, None, None, :]) & (document >= 0)[:, None, :, None]
        )
    return visible


def write(cache: KeyValueCache, k: Tensor, v: Tensor, layout: Layout) -> None:
    """Puts new keys and values where ``layout`` says."""
    assert layout.span <= cache.capacity, (
        f"{layout.span} tokens in a cache of {cache.capacity}: allocate a larger state"
    )
    if layout.start is not None:
        end = layout.start + k.shape[2]
        cache.keys[:, :, layout.start : end] = k
        cache.values[:, :, layout.start : end] = v
        return
    assert layout.rows is not None and layout.slots is not None and layout.sources is not None
    heads, width = k.shape[1], k.shape[3]
    cache.keys[layout.rows, :, layout.slots] = k.transpose(1, 2).reshape(-1, heads, width)[layout.sources]
    cache.values[layout.rows, :, layout.slots] = v.transpose(1, 2).reshape(-1, heads, width)[layout.sources]


def _repeat_heads(k: Tensor, heads: int) -> Tensor:
    rows, groups, length, width = k.shape
    if groups == heads:
        return k
    return k[:, :, None].expand(-1, -1, heads // groups, -1, -1).reshape(rows, heads, length, width)


def _sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    added: Tensor | None,
    causal: bool,
    scale: float | None,
    dropout: float,
) -> Tensor:
    rows, heads, length, width = q.shape
    groups = k.shape[1]
    if added is not None:
        mask, causal = _additive(mask, added, causal, length, k.shape[2]), False
    if groups != heads and length == 1 and added is None:
        # One query a row: the heads that share a key stand in line as queries, and nothing is copied.
        folded = q.view(rows, groups, heads // groups, width)
        out = F.scaled_dot_product_attention(folded, k, v, attn_mask=mask, scale=scale)
        return out.view(rows, heads, 1, width)
    k, v = _repeat_heads(k, heads), _repeat_heads(v, heads)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale)


def _additive(mask: Tensor | None, added: Tensor, causal: bool, length: int, span: int) -> Tensor:
    """One additive mask from a bias, a boolean mask and causality."""
    blocked = None if mask is None else ~mask
    if causal:
        future = torch.ones(length, span, dtype=torch.bool, device=added.device).triu(1)
        blocked = future if blocked is None else blocked | future
    return added if blocked is None else added.masked_fill(blocked, float("-inf"))


def _attend_window(
    q: Tensor, k: Tensor, v: Tensor, layout: Layout, window: int, scale: float | None, dropout: float
) -> Tensor:
    """Near keys only; packed documents need not be cut apart for it, unless all are short."""
    if layout.mask is not None:
        return _sdpa(q, k, v, dense_mask(layout, q.shape[0], q.shape[2], window), None, False, scale, dropout)
    if layout.slices is None:
        return attend_near(q, k, v, window, scale=scale, dropout=dropout)
    if max(group.shape[1] for group in layout.slices.groups) <= window + 1:  # all of a document is near
        return _attend_slices(q, k, v, layout, scale, None, dropout)
    documents = layout.key_positions - layout.positions  # each is known by where it begins
    return attend_near(q, k, v, window, documents=documents, scale=scale, dropout=dropout)


def _attend_slices(
    q: Tensor, k: Tensor, v: Tensor, layout: Layout, scale: float | None, bias: Bias | None, dropout: float
) -> Tensor:
    """Each packed document by itself, equal lengths together, put back by one gather."""
    assert layout.slices is not None
    rows, heads, length, width = q.shape
    # Gathered once and then cut: a gather for each group would have autograd fill a whole tensor with zeros for each.
    sizes = [group.numel() for group in layout.slices.groups]
    sorted_q, sorted_k, sorted_v = (
        x.transpose(1, 2).reshape(rows * length, x.shape[1], width)[layout.slices.order].split(sizes) for x in (q, k, v)
    )
    pieces = []
    for group, *parts in zip(layout.slices.groups, sorted_q, sorted_k, sorted_v, strict=True):
        count, size = group.shape
        gq, gk, gv = (x.view(count, size, x.shape[1], width).transpose(1, 2) for x in parts)  # [n, H, L, K]
        positions = torch.arange(size, device=q.device)
        added = None if bias is None else bias(positions[None], positions)
        out = _sdpa(gq, gk, gv, None, added, layout.causal, scale, dropout)
        pieces.append(out.transpose(1, 2).reshape(count * size, heads, width))
    out = torch.cat(pieces)[layout.slices.inverse]
    return out.view(rows, length, heads, width).transpose(1, 2)


def _attend_ragged(q: Tensor, cache: KeyValueCache, layout: Layout, scale: float | None, bias: Bias | None) -> Tensor:
    """New tokens of several rows (``[1, N]``) over the rows' caches: one SDPA a row."""
    assert layout.slices is not None and layout.rows is not None
    out = torch.empty_like(q)
    for group in layout.slices.groups:
        for piece in group:
            row, begin, size = int(layout.rows[piece[0]]), int(piece[0]), piece.shape[0]
            positions = layout.positions[:, begin : begin + size]
            span = int(positions[0, -1]) + 1
            keys, values = cache.keys[row : row + 1, :, :span], cache.values[row : row + 1, :, :span]
            slots = torch.arange(span, device=q.device)
            mask = (slots <= positions[0, :, None])[None, None]
            added = None if bias is None else bias(positions, slots)
            part = q[:, :, begin : begin + size]
            out[:, :, begin : begin + size] = _sdpa(part, keys, values, mask, added, False, scale, 0.0)
    return out
