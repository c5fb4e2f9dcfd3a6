"""Rows of different lengths as one array."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trivium.data.shards import Ids


def padded(rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """The rows filled up with zeros at the right, [B, T], and their lengths, [B]; there is at least one row."""
    filled = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for index, row in enumerate(rows):
        filled[index, : len(row)] = row
    return torch.from_numpy(filled), torch.tensor([len(row) for row in rows])
