"""Which query may look at which key, worked out once a forward pass and shared by all its layers.

A model's ``forward`` describes its rows (lengths, packed segments, a cache); ``Layout`` turns that
into what attention needs: a position for every token, the cache slots new keys go to, and either no
mask, a mask, or a list of equal-length slices that are computed apart. Nothing is padded that can be
sliced: on a CPU there is no ragged kernel, so packed documents run through SDPA grouped by length.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from trivium.nn.state import State


@dataclass(frozen=True)
class Slices:
    """Packed documents grouped by length. ``groups[g]`` is ``[n, L]``: indices into the flattened tokens."""

    groups: tuple[Int[Tensor, "_ _"], ...]
    order: Int[Tensor, "M"]
    """The groups one after the other: one gather brings all of them together."""
    inverse: Int[Tensor, "N"]
    """Where each flattened token stands in the concatenated groups; padding points at row 0 (garbage)."""


@dataclass(frozen=True)
class Layout:
    """The rows of one forward pass. Exactly one of the three ways of attending applies:

    * ``slices``: packed documents, each attending to itself;
    * ``mask``: a boolean ``[B, 1, T, S]`` over the keys, true = may look;
    * neither: every query sees every key (``causal`` false) or every key up to its own position.
    """

    causal: bool
    positions: Int[Tensor, "_ T"]
    """Position of each token in its own document, from 0; one row where all are alike."""
    span: int
    """Keys to attend to: ``T`` without a cache, else the slots in use after this step."""
    mask: Bool[Tensor, "B 1 T S"] | None = None
    slices: Slices | None = None
    rows: Int[Tensor, "M"] | None = None
    """With a cache: the row, slot and source (index into flattened tokens) of each new token."""
    slots: Int[Tensor, "M"] | None = None
    sources: Int[Tensor, "M"] | None = None
    start: int | None = None
    """With a cache whose rows are all equally long: the first slot to write (a plain slice copy)."""
    fresh: bool = True
    """No key but the new ones is visible: attention need not read the cache."""
    ragged: bool = False
    """The tokens are ``[1, N]`` and belong to the state's rows by ``rows``."""
    lengths: Int[Tensor, "_"] | None = None
    """Tokens of each row, with those that came before; None for packed documents, and for rows of ``span`` tokens."""

    @cached_property
    def key_positions(self) -> Int[Tensor, "S"]:
        """0, 1, ..., S-1: rows are left-aligned, so a slot is a position."""
        return torch.arange(self.span, device=self.positions.device)

    @cached_property
    def reach(self) -> Int[Tensor, "_ _"]:
        """How long the document of each token is, with what came before; one column where that is a row's."""
        if self.slices is not None and self.lengths is None:
            sizes = torch.ones_like(self.positions)  # of padding, which nobody reads
            for group in self.slices.groups:
                sizes.view(-1)[group.flatten()] = group.shape[1]
            return sizes
        if self.lengths is None:
            return self.positions.new_full((1, 1), self.span)
        return self.lengths[self.rows][None] if self.ragged else self.lengths[:, None]


def plain_layout(
    x: Shaped[Tensor, "B T *_"],
    *,
    causal: bool,
    lengths: Int[Tensor, "B"] | None = None,
    segments: Int[Tensor, "B T"] | None = None,
) -> Layout:
    """The layout of rows ``x`` (embedded, or tokens) without a cache: training, encoding, scoring.

    ``lengths`` matter to a bidirectional model only: under a causal mask the padding stands to the
    right of every real token and is never seen by one.
    """
    rows, length = x.shape[:2]
    positions = torch.arange(length, device=x.device)[None]
    if segments is not None:
        starts = _segment_starts(segments)
        return Layout(causal, positions - starts, length, slices=_slices(segments))
    mask = None
    if lengths is not None and not causal and int(lengths.min()) < length:
        mask = (positions < lengths[:, None])[:, None, None, :].expand(rows, 1, length, length)
    return Layout(causal, positions, length, mask=mask, lengths=lengths)


def causal_layout(
    x: Float[Tensor, "B T *_"],
    *,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    state: State | None,
) -> tuple[Layout, State | None]:
    """What a causal decoder needs at the top of ``forward``: the layout, and the state to return.

    A state without layers (an encoder-decoder in training) holds no cache and is handed back as it is.
    """
    if state is None or not state.layers:
        return plain_layout(x, causal=True, lengths=lengths, segments=segments), state
    layout, new_lengths = cached_layout(state, x.shape[1], lengths=lengths, segments=segments)
    return layout, State(state.layers, new_lengths, state.memory)


def cached_layout(
    state: State, length: int, *, lengths: Int[Tensor, "B"] | None = None, segments: Int[Tensor, "1 N"] | None = None
) -> tuple[Layout, Int[Tensor, "B"]]:
    """The layout of tokens appended to a causal cache, and the state's new lengths.

    Either each row gets ``length`` more tokens (the first ``lengths[b]`` of them count), or, with
    ``segments``, the tokens come packed as ``[1, N]`` and ``segments`` names the state row of each.
    """
    past = state.lengths
    device = past.device
    if segments is not None:
        return _ragged_layout(past, segments)
    steps = torch.arange(length, device=device)
    positions = past[:, None] + steps[None]
    longest, shortest = int(past.max()), int(past.min())
    new = past + (length if lengths is None else lengths)
    whole = lengths is None or int(lengths.min()) == length
    if longest == shortest and whole:
        mask = None if longest == 0 or length == 1 else _causal_mask(positions[:1], longest + length)
        written = {"start": longest, "fresh": longest == 0, "lengths": new}
        return Layout(True, positions[:1], longest + length, mask=mask, **written), new
    valid = torch.ones_like(positions, dtype=torch.bool) if lengths is None else steps[None] < lengths[:, None]
    rows, columns = valid.nonzero(as_tuple=True)
    span = int(new.max())
    fresh = longest == 0
    return (
        Layout(
            True,
            positions,
            length if fresh else span,
            mask=None if fresh else _causal_mask(positions, span),
            rows=rows,
            slots=positions[rows, columns],
            sources=rows * length + columns,
            fresh=fresh,
            lengths=new,
        ),
        new,
    )


def _ragged_layout(past: Int[Tensor, "B"], segments: Int[Tensor, "1 N"]) -> tuple[Layout, Int[Tensor, "B"]]:
    rows = segments[0]
    within = torch.arange(rows.shape[0], device=rows.device) - _segment_starts(segments)[0]
    positions = past[rows] + within
    new = past + torch.bincount(rows, minlength=past.shape[0])
    layout = Layout(
        True,
        positions[None],
        int(new.max()),
        slices=_slices(segments),
        rows=rows,
        slots=positions,
        sources=torch.arange(rows.shape[0], device=rows.device),
        fresh=int(past[rows].max()) == 0,
        ragged=True,
        lengths=new,
    )
    return layout, new


def _causal_mask(positions: Int[Tensor, "B T"], span: int) -> Bool[Tensor, "B 1 T S"]:
    slots = torch.arange(span, device=positions.device)
    return (slots[None, None, :] <= positions[:, :, None])[:, None]


def _segment_starts(segments: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """For every token the column at which its document begins."""
    columns = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    first = torch.ones_like(segments, dtype=torch.bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return torch.where(first, columns, 0).cummax(dim=1).values


def _slices(segments: Int[Tensor, "B T"]) -> Slices:
    """Runs of equal segment number, grouped by length; runs of negative numbers are padding and left out."""
    rows, length = segments.shape
    first = torch.ones_like(segments, dtype=torch.bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    begins = first.flatten().nonzero()[:, 0]
    sizes = torch.diff(begins, append=begins.new_tensor([rows * length]))
    real = segments.flatten()[begins] >= 0
    begins, sizes = begins[real], sizes[real]
    groups = [
        begins[sizes == size][:, None] + torch.arange(size, device=segments.device) for size in sizes.unique().tolist()
    ]
    order = torch.cat([group.flatten() for group in groups]) if groups else begins
    inverse = torch.zeros(rows * length, dtype=torch.long, device=segments.device)
    inverse[order] = torch.arange(order.shape[0], device=segments.device)
    return Slices(tuple(groups), order, inverse)
