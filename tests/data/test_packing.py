"""Cutting and packing: every target once, nothing across documents, best fit as if placed one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.data.evaluation import evaluation_batches, scored_tokens
from trivium.data.packing import collate, document_pieces, pack
from trivium.data.shards import TokenStore
from trivium.errors import DataError


def best_fit_decreasing(lengths: list[int], capacity: int) -> list[int]:
    """The textbook algorithm, one piece at a time; the room left in each row, sorted."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - length)
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 20), max_size=80))
def test_packing_equals_best_fit_decreasing(lengths: list[int]) -> None:
    packing = pack(np.array(lengths, dtype=np.int64), 20)
    assert sorted(packing.pieces.tolist()) == list(range(len(lengths)))
    rows = np.split(packing.pieces, packing.row_starts[1:-1]) if packing.rows else []
    rooms = sorted(20 - sum(lengths[piece] for piece in row) for row in rows)
    assert rooms == best_fit_decreasing(lengths, 20)


def test_packing_many_pieces_fills_the_rows() -> None:
    lengths = np.random.default_rng(0).integers(1, 257, size=200_000)
    packing = pack(lengths, 256)
    assert packing.fill > 0.99
    sums = np.add.reduceat(lengths[packing.pieces], packing.row_starts[:-1])
    assert sums.max() <= 256


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    context=st.integers(1, 16),
    overlap=st.integers(0, 15),
)
def test_every_target_is_scored_once_in_its_own_document(lengths: list[int], context: int, overlap: int) -> None:
    stride = max(1, context - overlap)
    tokens = iter(range(10_000))
    documents = [[next(tokens) for _ in range(length)] for length in lengths]
    store = TokenStore.of(documents, vocabulary_size=10_000)
    if scored_tokens(store) == 0:
        with pytest.raises(DataError, match="no text to evaluate"):
            next(evaluation_batches(store, context_tokens=context, rows=3))
        return
    seen: list[int] = []
    for batch in evaluation_batches(store, context_tokens=context, rows=3, stride=stride):
        assert batch.tokens.shape[1] == context
        for row in range(batch.rows):
            length = int(batch.lengths[row])
            assert not batch.mask[row, length:].any()
            segments = batch.segments[row] if batch.segments is not None else (np.arange(context) < length) - 1
            for segment in range(int(segments.max()) + 1):
                inside = np.flatnonzero(np.asarray(segments) == segment)
                run = batch.tokens[row, inside].tolist()
                document = next(document for document in documents if run[0] in document)
                begin = document.index(run[0])
                assert run == document[begin : begin + len(run)]
                assert batch.targets[row, inside].tolist() == document[begin + 1 : begin + 1 + len(run)]
            seen += batch.targets[row][batch.mask[row]].tolist()
    assert sorted(seen) == sorted(token for document in documents for token in document[1:])
    assert len(seen) == scored_tokens(store)


def test_strided_windows_see_their_context() -> None:
    pieces = document_pieces(np.array([0, 101]), 32, stride=8)
    scored = pieces.lengths - pieces.untrained
    assert scored.tolist() == [32] + [8] * 8 + [4]
    assert set(pieces.untrained[1:]) == {24}
    assert int(pieces.starts[-1] + pieces.lengths[-1]) == 100


def test_a_row_of_one_piece_needs_no_segments() -> None:
    store = TokenStore.of([list(range(9))], vocabulary_size=9)
    pieces = document_pieces(store.boundaries, 8)
    batch = collate(store, pieces, pack(pieces.lengths, 8), np.array([0]), 8)
    assert batch.segments is None
    assert batch.tokens.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
