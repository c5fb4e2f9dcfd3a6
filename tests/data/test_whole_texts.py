"""Whole texts as rows, alone and with their sources."""

import numpy as np
import pytest

from trivium.data.text_rows import TextRowsSource
from trivium.data.whole_texts import whole_pairs, whole_texts
from trivium.errors import DataError


def test_by_hand():
    batch = whole_texts([[5, 6, 7], np.array([8]), [9, 5]], start=2)
    assert batch.tokens.tolist() == [[2, 5, 6], [2, 8, 0], [2, 9, 5]]
    assert batch.targets.tolist() == [[5, 6, 7], [8, 0, 0], [9, 5, 0]]
    assert batch.mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert batch.lengths.tolist() == [3, 1, 2] and batch.num_tokens == 6


def test_an_empty_text_is_no_row():
    with pytest.raises(AssertionError, match="no row"):
        whole_texts([[1], []], start=0)


def test_pairs_by_hand():
    batch = whole_pairs([[1, 1], [3]], [[5, 6, 7], [8]], start=2)
    assert batch.source.tolist() == [[1, 1], [3, 0]] and batch.source_lengths.tolist() == [2, 1]
    texts = whole_texts([[5, 6, 7], [8]], start=2)
    for name in ("tokens", "targets", "mask", "lengths"):
        assert getattr(batch, name).equal(getattr(texts, name))


def test_each_text_stays_with_its_source_and_others_are_not_gone_on_with():
    texts = [[number, number] for number in range(7)]
    sources = [[number + 10] * (1 + number % 2) for number in range(7)]
    source = TextRowsSource(texts, start=9, rows=4, seed=1, sources=sources)
    state = source.state_dict()
    batches = [next(source) for _ in range(5)]
    for batch in batches:
        assert batch.source[:, 0].tolist() == (batch.targets[:, 0] + 10).tolist()
        assert batch.source.shape == batch.targets.shape == (4, 2)
    again = TextRowsSource(texts, start=9, rows=4, seed=1, sources=sources)
    again.load_state_dict(state)
    assert all(next(again).targets.equal(batch.targets) for batch in batches)
    with pytest.raises(DataError, match="cannot be resumed"):
        TextRowsSource(texts, start=9, rows=4, seed=1, sources=sources[::-1]).load_state_dict(state)
