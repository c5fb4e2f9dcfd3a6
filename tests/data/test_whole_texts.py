"""Whole texts as rows."""

import numpy as np
import pytest

from trivium.data.whole_texts import whole_texts


def test_by_hand():
    batch = whole_texts([[5, 6, 7], np.array([8]), [9, 5]], start=2)
    assert batch.tokens.tolist() == [[2, 5, 6], [2, 8, 0], [2, 9, 5]]
    assert batch.targets.tolist() == [[5, 6, 7], [8, 0, 0], [9, 5, 0]]
    assert batch.mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert batch.lengths.tolist() == [3, 1, 2] and batch.num_tokens == 6


def test_an_empty_text_is_no_row():
    with pytest.raises(AssertionError, match="no row"):
        whole_texts([[1], []], start=0)
