"""Scaled dot-product attention, softmax(q k^T / sqrt(K)) v (Vaswani et al. 2017, eq. 1), over any ``Layout``."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.nn.attention.kernel import PLAIN, Scoring, probabilities, weigh
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.local import attend_near, near
from trivium.nn.attention.packed import each_document
from trivium.nn.attention.past import attend_past
from trivium.nn.attention.remembered import Cache, attend_remembered, write


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    layout: Layout,
    how: Scoring = PLAIN,
    *,
    cache: Cache | None = None,
) -> Float[Tensor, "B H T W"]:
    """Attention of every token to what ``layout`` lets it see, the scores treated as ``how`` says; with ``cache``, new
    keys and values are written to it first.

    ``G`` key heads may serve ``H`` query heads (grouped-query attention, Ainslie et al. 2023). With ``how.window`` a
    token of a causal model sees itself and the ``window - 1`` before it, one of a bidirectional encoder what is at most
    ``window`` positions away within its document, on either side.
    """
    if not layout.causal and how.window is not None:
        assert cache is None and how.bias is None and how.plain, "an encoder's window is of plain scores"
        return _attend_both_sides(q, k, v, layout, how)
    if cache is not None:
        if not layout.fresh:
            return attend_remembered(q, k, v, cache, layout, how)
        write(cache, k, v, layout)
    if layout.slices is not None:
        return _attend_slices(q, k, v, layout, how)
    if layout.causal:
        return attend_past(q, k, v, how)
    added = None if how.bias is None else how.bias(layout.positions, layout.key_positions)
    return weigh(q, k, v, how, mask=layout.mask, added=added)


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
    mixed = weigh(_by_source(q, keys.shape[0]), keys, values, Scoring(scale=scale, dropout=dropout), mask=mask)
    return _by_row(mixed, q.shape[0])


def attention_probabilities(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    layout: Layout,
    how: Scoring = PLAIN,
) -> Float[Tensor, "B H T T"]:
    """The probabilities themselves, before dropout, for people to look at; only for calls without a cache.

    This is the plain, whole-matrix computation: tests hold the faster paths against it.
    """
    added = None
    if how.bias is not None:
        # Packed documents count their keys anew as well; what is wrong across documents is masked below.
        keys = layout.key_positions if layout.slices is None else layout.positions
        added = how.bias(layout.positions, keys)
    return probabilities(q, k, how, mask=dense_mask(layout, q.shape[0], q.shape[2], how.window), added=added)


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
        visible = visible & near(layout.positions, layout.positions, window, layout.causal)[:, None]
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


def _attend_both_sides(q: Tensor, k: Tensor, v: Tensor, layout: Layout, how: Scoring) -> Tensor:
    """Near keys only, of an encoder; packed documents need not be cut apart for it, unless all are short."""
    window = how.window
    assert window is not None
    if layout.mask is not None:
        return weigh(q, k, v, how, mask=dense_mask(layout, q.shape[0], q.shape[2], window))
    if layout.slices is None:
        return attend_near(q, k, v, window, scale=how.scale, dropout=how.dropout)
    if max(group.shape[1] for group in layout.slices.groups) <= window + 1:  # all of a document is near
        return _attend_slices(q, k, v, layout, replace(how, window=None))
    documents = layout.key_positions - layout.positions  # each is known by where it begins
    return attend_near(q, k, v, window, documents=documents, scale=how.scale, dropout=how.dropout)


def _attend_slices(q: Tensor, k: Tensor, v: Tensor, layout: Layout, how: Scoring) -> Tensor:
    """Each packed document by itself."""

    def own(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if layout.causal:
            return attend_past(q, k, v, how)
        positions = torch.arange(q.shape[2], device=q.device)
        return weigh(q, k, v, how, added=None if how.bias is None else how.bias(positions[None], positions))

    return each_document(own, q, k, v, layout)
