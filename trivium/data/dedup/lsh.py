"""Clusters of near-copies by locality-sensitive hashing of MinHash signatures.

Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4: signatures are cut in bands, and only
documents that agree in a whole band are compared. Here bands are sorted one after the other, so there is never a table
of all bands: 50 bytes a document and one block of signatures are in memory, and signatures may be a memory-mapped file.
"""

from collections.abc import Iterator

import numpy as np

from trivium.data.dedup.clusters import find, forest, join, roots
from trivium.data.dedup.minhash import MinHashConfig, similarity
from trivium.errors import DataError

NEIGHBOURS = 16
"""With how many that follow it a document is compared in a bucket. Buckets of up to 17 are compared completely; in
larger ones, most of which hold one template, the work stays linear."""
_BLOCK_ROWS = 1 << 16
_BLOCK_PAIRS = 1 << 13


def clusters(found: np.ndarray, config: MinHashConfig) -> np.ndarray:
    """For each document the first of its cluster of near-copies, [N] int64: its own index where it is the first.

    Two documents are joined when they agree in a band and their estimated Jaccard index reaches the threshold; clusters
    are what hangs together by such pairs. Documents without a word are joined to nothing.

    Args:
        found: signatures in the order of the documents, [N, entries] uint32; a memory-mapped array is read in blocks.
        config: the one that the signatures were made with.

    Raises:
        DataError: the signatures have another number of entries.
    """
    if found.ndim != 2 or found.shape[1] != config.entries:
        raise DataError(
            "these signatures were made with another configuration",
            received=f"an array of {' x '.join(map(str, found.shape))}",
            expected=f"{config.bands} bands of {config.rows} rows: {config.entries} entries a document",
            fix="make the signatures again with this configuration",
        )
    parents = forest(len(found))
    for band in range(config.bands):
        keys = _keys(found, band * config.rows, config.rows)
        for left, right in _neighbours(keys, parents):
            for begin in range(0, len(left), _BLOCK_PAIRS):
                some, others = left[begin : begin + _BLOCK_PAIRS], right[begin : begin + _BLOCK_PAIRS]
                alike = similarity(found[some], found[others]) >= np.float32(config.threshold)
                join(parents, some[alike], others[alike])
    return roots(parents)


def _keys(found: np.ndarray, begin: int, rows: int) -> np.ndarray:
    """One number for the entries of a band, [N] uint64."""
    keys = np.zeros(len(found), dtype=np.uint64)
    for at in range(0, len(found), _BLOCK_ROWS):
        block = np.asarray(found[at : at + _BLOCK_ROWS, begin : begin + rows])
        part = keys[at : at + len(block)]
        for row in range(rows):
            part += block[:, row]
            part *= np.uint64(0x9E3779B97F4A7C15)
            part ^= part >> np.uint64(29)
    return keys


def _neighbours(keys: np.ndarray, parents: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of documents with equal keys that are not joined yet: nearest first, then the second next, and so on."""
    order = np.argsort(keys, kind="stable")  # in a bucket in the order of documents
    ranked = keys[order]
    equal = ranked[1:] == ranked[:-1]
    shared = np.zeros(len(order), dtype=bool)
    shared[1:] |= equal
    shared[:-1] |= equal
    order, ranked = order[shared], ranked[shared]
    for step in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(ranked[step:] == ranked[:-step]) if step < len(ranked) else ranked[:0]
        if not len(same):
            return
        left, right = order[same], order[same + step]
        apart = find(parents, left) != find(parents, right)
        yield left[apart], right[apart]
