"""Rows of fixed width out of documents of any length, with nothing cut that fits and little padding.

Documents longer than a row are cut in windows; windows and short documents are then packed by best-fit decreasing
(Ding et al. 2024, "Fewer Truncations Improve Language Modeling", section 3). Attention never crosses from one document
to its neighbour in the row: that is what ``CausalBatch.segments`` says.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import torch

from trivium.data.batches import CausalBatch
from trivium.data.shards import TokenStore


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Runs of consecutive tokens of a `TokenStore`, none longer than a row. All fields are [pieces] int64."""

    starts: np.ndarray
    """Position of the first input token."""
    lengths: np.ndarray
    """Input tokens; the targets are as many, one position further."""
    untrained: np.ndarray
    """Leading positions that serve as context only: a prompt, or what an earlier window has scored."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Which pieces stand in which row: row r holds ``pieces[row_starts[r] : row_starts[r + 1]]``, in that order."""

    pieces: np.ndarray
    """Piece indices, [pieces] int64."""
    row_starts: np.ndarray
    """Where each row begins in ``pieces``, [rows + 1] int64."""
    fill: float
    """Fraction of all positions that hold a token."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_starts) - 1


def document_pieces(boundaries: np.ndarray, context_tokens: int, stride: int | None = None) -> Pieces:
    """Cut each document in windows of at most ``context_tokens`` such that every token but its first is a target once.

    With ``stride`` below ``context_tokens``, windows overlap: each but the first scores ``stride`` new targets (the
    last one fewer) and sees ``context_tokens - stride`` earlier positions as context. A document of one token has no
    target.
    """
    stride = context_tokens if stride is None else stride
    assert 1 <= stride <= context_tokens, f"a stride of {stride} does not fit windows of {context_tokens}"
    targets = np.maximum(np.diff(boundaries) - 1, 0)
    further = -(-np.maximum(targets - context_tokens, 0) // stride)
    counts = np.where(targets > 0, 1 + further, 0)
    document = np.repeat(np.arange(len(counts)), counts)
    number = _count_up(counts)
    offset = number * stride
    return Pieces(
        starts=boundaries[:-1][document] + offset,
        lengths=np.minimum(targets[document] - offset, context_tokens),
        untrained=np.where(number > 0, context_tokens - stride, 0),
    )


def pack(lengths: np.ndarray, capacity: int) -> Packing:
    """Best-fit decreasing: the longest piece first, each into the fullest row that still has room for it.

    Pieces of equal length are placed together, and rows with equal room are treated as one, so the work grows with
    the number of distinct lengths and not with the number of pieces; the outcome is that of placing one by one.
    """
    assert lengths.size == 0 or (lengths.min() >= 1 and lengths.max() <= capacity), "every piece fits a row"
    order = np.argsort(-lengths, kind="stable")
    rooms = _Rooms(capacity)
    distinct, counts = np.unique(lengths, return_counts=True)
    placed = [rooms.place(int(n), int(c)) for n, c in zip(distinct[::-1], counts[::-1], strict=True)]
    row_of = np.concatenate([np.zeros(0, dtype=np.int64), *placed])  # in the order of ``order``
    # Within a row the longest piece comes first: a stable sort by row keeps the order of placing.
    by_row = np.argsort(row_of, kind="stable")
    row_starts = np.searchsorted(row_of[by_row], np.arange(rooms.rows + 1))
    fill = float(lengths.sum() / (rooms.rows * capacity)) if rooms.rows else 0.0
    return Packing(pieces=order[by_row], row_starts=row_starts, fill=fill)


class _Rooms:
    """The open rows by the room left in them."""

    def __init__(self, capacity: int):
        self.rows = 0
        self._capacity = capacity
        self._rows_with: dict[int, list[np.ndarray]] = {}
        self._rooms: list[int] = []  # the keys of the above, sorted

    def place(self, length: int, count: int) -> np.ndarray:
        """Rows, [count] int64, for ``count`` pieces of ``length`` tokens."""
        placed: list[np.ndarray] = []
        while count:
            room, rows = self._tightest(length, count)
            # A row with the least room that suffices stays the tightest until it is full: it takes all it can hold.
            each = room // length
            taken = min(count, each * len(rows))
            full, rest = divmod(taken, each)
            placed.append(np.repeat(rows[:full], each))
            self._keep(room - each * length, rows[:full])
            if rest:
                placed.append(np.repeat(rows[full : full + 1], rest))
                self._keep(room - rest * length, rows[full : full + 1])
            self._keep(room, rows[full + bool(rest) :])
            count -= taken
        return np.concatenate(placed)

    def _tightest(self, length: int, count: int) -> tuple[int, np.ndarray]:
        """The rows with the least room that holds ``length``, taken out; where there are none, enough new rows."""
        place = bisect_left(self._rooms, length)
        if place < len(self._rooms):
            room = self._rooms.pop(place)
            return room, np.concatenate(self._rows_with.pop(room))
        new = -(-count // (self._capacity // length))
        self.rows += new
        return self._capacity, np.arange(self.rows - new, self.rows)

    def _keep(self, room: int, rows: np.ndarray) -> None:
        if room == 0 or len(rows) == 0:
            return
        if room not in self._rows_with:
            self._rows_with[room] = []
            insort(self._rooms, room)
        self._rows_with[room].append(rows)


def collate(store: TokenStore, pieces: Pieces, packing: Packing, rows: np.ndarray, context_tokens: int) -> CausalBatch:
    """The batch of the packed rows ``rows``, [B, context_tokens].

    ``segments`` is None where every row holds a single piece: there is nothing to keep apart.
    """
    counts = packing.row_starts[rows + 1] - packing.row_starts[rows]
    row = np.repeat(np.arange(len(rows)), counts)
    segment = _count_up(counts)
    piece = packing.pieces[np.repeat(packing.row_starts[rows], counts) + segment]
    lengths = pieces.lengths[piece]
    row_lengths = np.bincount(row, weights=lengths, minlength=len(rows)).astype(np.int64)
    within = _count_up(lengths)
    # Where each token goes: its row, and a column that counts up through the pieces of the row.
    row_begins = np.concatenate([[0], np.cumsum(row_lengths)[:-1]])
    token_row = np.repeat(row, lengths)
    column = np.arange(len(token_row)) - row_begins[token_row]
    position = np.repeat(pieces.starts[piece], lengths) + within

    shape = (len(rows), context_tokens)
    tokens, targets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    mask, segments = np.zeros(shape, dtype=bool), np.full(shape, -1, dtype=np.int64)
    tokens[token_row, column] = store.gather(position)
    targets[token_row, column] = store.gather(position + 1)
    mask[token_row, column] = within >= np.repeat(pieces.untrained[piece], lengths)
    segments[token_row, column] = np.repeat(segment, lengths)
    return CausalBatch(
        tokens=torch.from_numpy(tokens),
        targets=torch.from_numpy(targets),
        mask=torch.from_numpy(mask),
        lengths=torch.from_numpy(row_lengths),
        segments=torch.from_numpy(segments) if (counts > 1).any() else None,
    )


def _count_up(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each count in turn: [2, 3] gives 0 1 0 1 2."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
