"""Documents that say exactly what an earlier one said, up to case and white space."""

import hashlib
from collections.abc import Sequence

import numpy as np

DIGEST_BYTES = 16


def digest(text: str, *, size: int = DIGEST_BYTES) -> bytes:
    """BLAKE2b of the words of ``text``, folded in case and joined by single spaces: ``size`` bytes.

    With 16 bytes, two different texts among 10^12 share a digest with probability 1.5e-15.
    """
    normalised = " ".join(text.casefold().split())
    return hashlib.blake2b(normalised.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def as_array(digests: Sequence[bytes]) -> np.ndarray:
    """Digests of 16 bytes as two numbers each, [N, 2] uint64: what `first_equal` takes, and what a file can hold."""
    assert all(len(found) == DIGEST_BYTES for found in digests)
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def first_equal(digests: np.ndarray) -> np.ndarray:
    """For each row of ``digests`` [N, 2] the index of the first equal row, [N] int64: its own where it is new."""
    first = np.arange(len(digests))
    if len(digests) < 2:
        return first
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal rows stay in the order of documents
    ranked = digests[order]
    begins = np.flatnonzero(np.r_[True, (ranked[1:] != ranked[:-1]).any(axis=1)])
    first[order] = np.repeat(order[begins], np.diff(np.r_[begins, len(order)]))
    return first
