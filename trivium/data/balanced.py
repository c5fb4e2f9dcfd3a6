"""Rare classes, or small groups, read more often than large ones: which examples, and how often each.

order = balanced([record.label for record in records])           # as often of every class
more = [records[index] for index in order]
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from trivium.data.balance import tempered
from trivium.data.mixtures import repeats
from trivium.errors import ConfigError

MOST_PASSES = 4.0
"""Muennighoff et al. 2023, section 6: up to four passes over the same data are nearly as good as new data."""


def balanced(
    keys: Sequence[str], *, exponent: float = 0.0, most_passes: float = MOST_PASSES, seed: int = 0
) -> np.ndarray:
    """Indices into ``keys``, ascending, each as often as it is to be read: at least once.

    The class that is largest by its wanted share is read once and all others more often, none more than
    ``most_passes`` times. Which examples of a class are in a pass that is not whole follows from ``seed`` and their
    place alone.

    Args:
        keys: the class, or the group, of each example.
        exponent: 0 makes all classes equal, 1 leaves them as they are; see `trivium.data.balance.tempered`.
        most_passes: how often an example is read at most.
        seed: of the choice.

    Returns:
        [n] int64, n >= len(keys).

    Raises:
        ConfigError: ``most_passes`` below 1, an exponent below 0 or above 1.
    """
    if not 1 <= most_passes < math.inf or not 0 <= exponent <= 1:
        raise ConfigError(
            "classes cannot be balanced in this way",
            received=f"most_passes {most_passes:g}, exponent {exponent:g}",
            expected="most_passes of 1 or more, an exponent between 0 and 1",
        )
    sizes = Counter(keys)
    if not sizes:
        return np.zeros(0, dtype=np.int64)
    wanted = tempered(sizes, exponent)
    per_example = {key: wanted[key] / size for key, size in sizes.items()}
    least = min(per_example.values())
    passes = {key: min(value / least, most_passes) for key, value in per_example.items()}
    counts = [repeats(f"{key}\n{index}", passes[key], seed=seed) for index, key in enumerate(keys)]
    return np.repeat(np.arange(len(keys)), counts)
