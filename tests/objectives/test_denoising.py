"""BART's corruption: what is kept, how much is hidden, and where."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import ConfigError, DataError
from trivium.objectives.denoising import denoise, infill_spans, permute_sentences, place_spans

MASK, STOP, END = 99, 7, 8


@settings(max_examples=200)
@given(
    text=st.lists(st.integers(0, 20), min_size=1, max_size=150),
    rate=st.floats(0.01, 0.7),
    mean=st.floats(0.5, 8.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_left_stands_in_its_order(text: list[int], rate: float, mean: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept = [token for token in infill_spans(text, rng, mask_id=MASK, rate=rate, mean_span=mean) if token != MASK]
    rest = iter(text)
    assert all(token in rest for token in kept), "a subsequence"
    assert len(text) - len(kept) <= round(rate * len(text))
    source, target = denoise(text, rng, mask_id=MASK, sentence_ends=[STOP], special_ids=[END], rate=rate)
    assert target == text
    assert source.count(END) == text.count(END)
    assert not set(source) - set(text) - {MASK}


def test_published_shares() -> None:
    """30 % hidden; spans of Poisson(3) tokens, a twentieth of them empty; everywhere alike."""
    rng = np.random.default_rng(0)
    text = np.arange(1000, 1500)
    rows = [infill_spans(text, rng, mask_id=MASK) for _ in range(300)]
    assert {int((row != MASK).sum()) for row in rows} == {350}
    masks = np.array([int((row == MASK).sum()) for row in rows])
    assert masks.mean() == pytest.approx(150 / 3, rel=0.02)
    gone = np.array([np.isin(text, row, invert=True) for row in rows])
    runs = (np.diff(gone.astype(int), axis=1, prepend=0) == 1).sum(1)
    assert (masks - runs).sum() / masks.sum() == pytest.approx(np.exp(-3), abs=0.006), "the empty ones"
    assert gone[:, :100].mean() == pytest.approx(0.3, abs=0.02)
    assert gone[:, -100:].mean() == pytest.approx(0.3, abs=0.02)


def test_all_arrangements_are_alike() -> None:
    """Spans of 1 and 2 in 6 tokens: twelve ways (6 places, two orders)."""
    rng, counts = np.random.default_rng(0), collections.Counter()
    for _ in range(12_000):
        counts[tuple(place_spans(np.array([1, 2]), np.ones(6, dtype=bool), rng).tolist())] += 1
    assert len(counts) == 12
    assert all(850 < count < 1150 for count in counts.values())
    assert not place_spans(np.zeros(0, dtype=np.int64), np.ones(3, dtype=bool), rng).any()
    assert place_spans(np.array([3]), np.ones(3, dtype=bool), rng).all()


def test_sentences_in_every_order() -> None:
    text = [1, 2, STOP, 3, STOP, 4]
    rng, seen = np.random.default_rng(0), collections.Counter()
    for _ in range(3000):
        seen[tuple(permute_sentences(text, rng, [STOP]).tolist())] += 1
    pieces = ([1, 2, STOP], [3, STOP], [4])
    assert set(seen) == {tuple(itertools.chain(*order)) for order in itertools.permutations(pieces)}
    assert min(seen.values()) > 400
    assert permute_sentences([1, 2], rng, [STOP]).tolist() == [1, 2]


def test_impossible() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="at least one token"):
        infill_spans([], rng, mask_id=MASK)
    for changes in ({"rate": 0.0}, {"rate": 1.0}, {"mean_span": 0.0}):
        with pytest.raises(ConfigError, match="cannot be drawn"):
            infill_spans([1, 2], rng, mask_id=MASK, **changes)
