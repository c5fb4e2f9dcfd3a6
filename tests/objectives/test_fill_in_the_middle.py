"""Fill in the middle: the orders of the paper, nothing lost, documents apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.errors import ConfigError
from trivium.objectives.fill_in_the_middle import Order, Sentinels, arranged, cut_places, cut_text, rearrange, restored

P, M, S, END = 101, 102, 103, 9
MARKS = Sentinels(prefix=P, middle=M, suffix=S)


def test_the_two_orders() -> None:
    parts = [1, 2], [3, 4], [5]
    assert arranged(*parts, MARKS, "prefix-suffix-middle").tolist() == [P, 1, 2, S, 5, M, 3, 4]
    assert arranged(*parts, MARKS, "suffix-prefix-middle").tolist() == [P, S, 5, M, 1, 2, 3, 4]
    assert arranged([1, 2], [], [5], MARKS, "prefix-suffix-middle").tolist() == [P, 1, 2, S, 5, M]


@settings(max_examples=150)
@given(text=st.lists(st.integers(0, 50), max_size=60), seed=st.integers(0, 2**32 - 1))
def test_nothing_is_lost(text: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = cut_places(len(text), rng)
    for order, length in (("prefix-suffix-middle", None), ("suffix-prefix-middle", first)):
        typed: Order = order
        row = arranged(text[:first], text[first:second], text[second:], MARKS, typed)
        assert restored(row, MARKS, length).tolist() == text
    row = rearrange(text, rng, sentinels=MARKS, rate=1.0, suffix_first=0.0)
    assert (restored(row, MARKS).tolist() if text else row.tolist()) == text


def test_documents_apart() -> None:
    text = [1, 2, 3, END, 4, 5, 6, 7, END, 8, 8]
    for seed in range(40):
        row = rearrange(text, np.random.default_rng(seed), sentinels=MARKS, rate=1.0, suffix_first=0.0, end_id=END)
        assert len(row) == len(text) + 10
        pieces = np.split(row, np.flatnonzero(row == END) + 1)
        assert [len(piece) for piece in pieces] == [7, 8, 6, 0]
        assert [int(piece[-1]) for piece in pieces[:3]] == [END, END, END]  # the last was cut off, its middle was not
        whole = [restored(piece[piece != END], MARKS).tolist() for piece in pieces[:3]]
        assert whole == [[1, 2, 3], [4, 5, 6, 7], [8, 8]]


def test_shares() -> None:
    rng = np.random.default_rng(0)
    rows = [rearrange(np.arange(20), rng, sentinels=MARKS, rate=0.9, suffix_first=0.25) for _ in range(2000)]
    changed = [row for row in rows if row[0] == P]
    assert len(changed) / len(rows) == pytest.approx(0.9, abs=0.02)
    alike = 1 - (20 / 21) ** 2  # with an empty prefix the two orders begin alike
    assert np.mean([row[1] == S for row in changed]) == pytest.approx(0.25 + 0.75 * alike, abs=0.03)
    assert all(np.array_equal(row, np.arange(20)) for row in rows if row[0] != P)
    same = rearrange(np.arange(20), rng, sentinels=MARKS, rate=0.0)
    assert same.tolist() == list(range(20))


def test_cut_between_characters() -> None:
    seen = set()
    for seed in range(300):
        parts = cut_text("añ漢", np.random.default_rng(seed))
        assert "".join(parts) == "añ漢"
        seen.add(parts)
    assert len(seen) == 10, "every pair of places"


def test_impossible() -> None:
    with pytest.raises(ConfigError, match="an id each"):
        Sentinels(prefix=1, middle=1, suffix=2)
    with pytest.raises(ConfigError, match="rate is a share"):
        rearrange([1], np.random.default_rng(0), sentinels=MARKS, rate=1.5)
