"""Union-find over arrays against the plainest search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trivium.data.dedup.clusters import components, find, forest, join, roots


def searched(size: int, pairs: list[tuple[int, int]]) -> list[int]:
    """The smallest item that each can reach."""
    labels = list(range(size))
    for _ in range(size):
        for left, right in pairs:
            labels[left] = labels[right] = min(labels[left], labels[right])
    return labels


PAIRS = st.integers(1, 12).flatmap(
    lambda size: st.tuples(
        st.just(size), st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=20)
    )
)


@given(PAIRS)
def test_components_are_what_a_search_reaches(case: tuple[int, list[tuple[int, int]]]) -> None:
    size, pairs = case
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    assert components(size, left, right).tolist() == searched(size, pairs)


@given(PAIRS, st.integers(0, 20))
def test_the_order_of_joining_makes_no_difference(case: tuple[int, list[tuple[int, int]]], cut: int) -> None:
    size, pairs = case
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    parents = forest(size)
    join(parents, right[cut:], left[cut:])
    join(parents, left[:cut], right[:cut])
    assert roots(parents).tolist() == searched(size, pairs)
    assert find(parents, np.arange(size)).tolist() == parents.tolist()  # paths are as short as they get


def test_a_chain_of_a_million_is_one_cluster() -> None:
    items = np.random.default_rng(0).permutation(1_000_000)
    assert not components(len(items), items[:-1], items[1:]).any()
