"""A shuffled order that is computed and not stored.

A Feistel network over numbers of 2h bits is a permutation whatever its round function; numbers outside the wanted
range are sent through again until they fall inside it ("cycle walking", Black and Rogaway 2002, "Ciphers with Arbitrary
Finite Domains", section 3). The order of a billion items thus needs no memory, its n-th element is known at once, which
makes resuming exact, and it is the same on every machine and with every version of NumPy.
"""

import numpy as np

_ROUNDS = 6
_LEAST_HALF_BITS = 3


def shuffled(places: np.ndarray, size: int, *, seed: int, epochs: np.ndarray) -> np.ndarray:
    """Element ``places`` of the order of ``size`` items in each of ``epochs``; all arrays are [n] int64."""
    if size == 1:
        return np.zeros_like(places)
    half = max(_LEAST_HALF_BITS, -(-(size - 1).bit_length() // 2))
    keys = _mix(_mix(np.full(len(places), seed % (1 << 64), dtype=np.uint64)) + epochs.astype(np.uint64))
    items = places.astype(np.uint64)
    outside = np.ones(len(places), dtype=bool)
    while outside.any():
        items[outside] = _feistel(items[outside], keys[outside], np.uint64(half))
        outside = items >= size
    return items.astype(np.int64)


def random_number(seed: int, epoch: int, below: int) -> int:
    """One number in [0, below), a function of its arguments only."""
    start = np.array([seed % (1 << 64)], dtype=np.uint64)
    return int(_mix(_mix(start) + np.uint64(epoch) + np.uint64(1 << 63))[0] % np.uint64(below))


def _feistel(items: np.ndarray, keys: np.ndarray, half: np.uint64) -> np.ndarray:
    """One pass over numbers of 2 * half bits."""
    low = (np.uint64(1) << half) - np.uint64(1)
    left, right = items >> half, items & low
    for number in range(_ROUNDS):
        left, right = right, left ^ (_mix(right + _mix(keys + np.uint64(number))) & low)
    return (left << half) | right


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's step and finaliser (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators")."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
