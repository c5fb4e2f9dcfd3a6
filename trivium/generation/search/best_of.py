"""The best of several sampled answers."""

import math
from collections.abc import Sequence

from trivium.generation.request import Request


def best(requests: Sequence[Request], n: int) -> list[Request]:
    """The ``n`` finished answers to one prompt with the highest mean log-probability, the best first.

    The mean and not the sum, which would prefer whatever ends first. The log-probabilities are those of the
    unprocessed distribution, so answers sampled in different ways can be compared. Of equal answers the one
    sampled first comes first.
    """
    assert 1 <= n <= len(requests), (n, len(requests))
    return sorted(requests, key=lambda request: -math.fsum(request.log_probs) / len(request.log_probs))[:n]
