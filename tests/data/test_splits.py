"""What is held out: near-copies and groups fall on one side, and what the sides share is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup.lsh import clusters
from trivium.data.dedup.minhash import MinHashConfig, signatures
from trivium.data.splits import BOTH, REMOVED, TRAIN, VALIDATION, SplitBy, hold_out, is_held_out, repeated_shares, sides
from trivium.errors import DataError


def held(groups: list[str], fraction: float, *, by: SplitBy = "auto") -> tuple[list[int], str]:
    """What becomes of documents of ten bytes each, without near-copies."""
    fates, found = hold_out(groups, np.arange(len(groups)), np.full(len(groups), 10), fraction, by)
    return fates.tolist(), found


def test_a_group_is_never_on_both_sides_and_does_not_move() -> None:
    groups = [f"module{n % 200}" for n in range(1000)]
    fates, _ = held(groups, 0.1, by="group")
    train, validation = ({g for g, f in zip(groups, fates, strict=True) if f == side} for side in (TRAIN, VALIDATION))
    assert not train & validation
    assert 8 <= len(validation) <= 35
    again, _ = held([*groups, "other"], 0.1, by="group")
    assert again[:-1] == fates
    assert all(is_held_out(group, 0.2) for group in validation)
    # A fixed outcome: the same on every machine, Python and release.
    assert [n for n in range(200) if is_held_out(f"module{n}", 0.05)] == [5, 15, 22, 45, 51, 104, 115, 127, 185]


def test_few_groups_are_split_by_their_tails() -> None:
    assert held(["g"], 0.1) == ([BOTH], "tail")
    assert held([str(n) for n in range(500)], 0.1)[1] == "group"
    with pytest.raises(DataError, match="too little text to hold any out"):
        hold_out(["g"], np.arange(1), np.array([1]), 0.1)
    with pytest.raises(DataError, match="too little text"):
        held([], 0.1)
    with pytest.raises(DataError, match="too little text"):
        held(["g"], 0.1, by="group")


def test_what_is_removed_counts_for_nothing() -> None:
    groups = [str(n) for n in range(500)]
    removed = np.arange(500) % 2 == 0
    fates, found = hold_out(groups, np.arange(500), np.full(500, 10), 0.1, removed=removed)
    assert found == "group"
    assert (fates == REMOVED).tolist() == removed.tolist()
    assert [fates[n] for n in range(1, 500, 2)] == [held(groups, 0.1)[0][n] for n in range(1, 500, 2)]


def test_what_training_has_nearly_word_for_word_is_found() -> None:
    words = [f"w{n}" for n in range(100)]
    train = [" ".join(words), "short one here"]
    held_out = [
        "Preface! " + ", ".join(words[10:60]).upper(),
        " ".join(words[:30] + [f"new{n}" for n in range(40)]),
        " ".join(f"own{n}" for n in range(50)),
        " ".join(words[::-1]),
        "Short, one here.",
    ]
    found = repeated_shares(held_out, train)
    assert found.tolist() == pytest.approx([50 / 51, 30 / 70, 0.0, 0.0, 1.0])
    assert repeated_shares([], train).tolist() == []
    assert repeated_shares(held_out, []).tolist() == [0.0] * 5


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30))), st.randoms(use_true_random=False))
def test_no_group_and_no_cluster_has_both_sides(pairs: list[tuple[str, int]], draw) -> None:
    def judged(rows: list[tuple[str, int]]) -> list[bool]:
        labels = [label for _, label in rows]
        first = np.array([labels.index(label) for label in labels], dtype=np.int64)
        return sides([group for group, _ in rows], first, 0.5).tolist()

    side_of: dict[object, set[bool]] = {}
    held = judged(pairs)
    for (group, label), out in zip(pairs, held, strict=True):
        side_of.setdefault(group, set()).add(out)
        side_of.setdefault(label, set()).add(out)
    assert all(len(found) == 1 for found in side_of.values())
    # In another order the same documents are held out.
    order = list(range(len(pairs)))
    draw.shuffle(order)
    assert judged([pairs[place] for place in order]) == [held[place] for place in order]


def test_a_group_without_near_copies_falls_as_without_clusters() -> None:
    groups = [f"module{n % 200}" for n in range(400)]
    assert sides(groups, np.arange(400), 0.1).tolist() == [is_held_out(group, 0.1) for group in groups]
    alone = np.arange(400)
    alone[7] = 3  # module7 and module3 are one now, under the name of module3
    held = sides(groups, alone, 0.1)
    expected = [is_held_out("module3" if group == "module7" else group, 0.1) for group in groups]
    assert held.tolist() == expected
    assert len(sides([], np.zeros(0, dtype=np.int64), 0.1)) == 0


def test_about_the_share_asked_for_is_held_out() -> None:
    groups = [f"page{n}" for n in range(5000)]
    pairs = np.arange(5000) // 2 * 2  # every two pages are near-copies
    assert 0.08 < sides(groups, pairs, 0.1).mean() < 0.12


def test_edited_copies_do_not_straddle() -> None:
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(200):
        words = [f"w{n}" for n in draw.integers(10**6, size=100)]
        texts += [" ".join(words), " ".join([*words[:40], "changed", *words[41:]])]
    config = MinHashConfig()
    groups, found = [f"page{n}" for n in range(400)], clusters(signatures(texts, config), config)
    fates, by = hold_out(groups, found, np.full(400, 10), 0.2)
    assert by == "cluster"
    train, validation = (set((np.flatnonzero(fates == side) // 2).tolist()) for side in (TRAIN, VALIDATION))
    assert not train & validation
    assert 20 <= len(validation) <= 60
