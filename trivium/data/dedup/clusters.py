"""Which items belong together, given pairs that do: union-find over arrays.

A forest is an array of parents, [N] int64; a root is its own parent. Roots are always the smallest index of their
tree, so that the result depends on what is joined and never on the order (Tarjan 1975; hooking and pointer jumping
after Shiloach and Vishkin 1982, which is what makes it work on whole arrays).
"""

import numpy as np


def forest(size: int) -> np.ndarray:
    """Every item alone, [size]."""
    return np.arange(size)


def find(parents: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The roots of ``items``; the paths that were walked are shortened in place."""
    found = parents[items]
    while True:
        above = parents[found]
        if np.array_equal(above, found):
            break
        found = parents[above]
    parents[items] = found
    return found


def join(parents: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Put each ``left[i]`` and ``right[i]`` in one tree, in place."""
    while len(left):
        left, right = find(parents, left), find(parents, right)
        apart = left != right
        left, right = left[apart], right[apart]
        # A root may be hooked to several at once: the smallest wins, the rest is joined in the next round.
        np.minimum.at(parents, np.maximum(left, right), np.minimum(left, right))


def roots(parents: np.ndarray) -> np.ndarray:
    """For each item the smallest of its cluster, [N] int64."""
    return find(parents, np.arange(len(parents)))


def components(size: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each of ``size`` items the smallest that it is connected with by the edges, [size]."""
    parents = forest(size)
    join(parents, left, right)
    return roots(parents)
