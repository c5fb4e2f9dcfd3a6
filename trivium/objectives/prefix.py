"""Prefix language modelling (Liu et al. 2018; Raffel et al. 2020, section 3.2.1): a text is cut, and the second part is
predicted from the first.

Where the network reads the first part as a whole (an encoder-decoder such as T5 or BART, and GLM, one stack that does
both), the parts are source and target of ``objectives/seq2seq.py``, and that is the objective of the papers. A decoder
(GPT-2, LLaMA) reads the first part from left to right as well: ``continuation`` makes it the prompt of a causal batch,
whose loss (``objectives/causal.py``) is of the second part alone. That is an approximation: the prediction is the same
product of conditional probabilities, but no token of the prefix sees those that follow it.
"""

from collections.abc import Sequence

import numpy as np
import torch

from trivium.data.batches import CausalBatch
from trivium.errors import DataError


def cut_prefix(tokens: Sequence[int] | np.ndarray, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """A text in two, neither of them empty; every place to cut is as likely as any other. Raises ``DataError`` for
    fewer than two tokens."""
    ids = np.asarray(tokens)
    if ids.ndim != 1 or len(ids) < 2:
        raise DataError("a text to cut in two has at least two tokens", received=f"shape {list(ids.shape)}")
    place = int(rng.integers(1, len(ids)))
    return ids[:place].tolist(), ids[place:].tolist()


def continuation(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> CausalBatch:
    """Prefixes and what follows them, for a decoder: the loss is of what follows, its first token included."""
    assert all(len(prefix) for prefix, _ in rows), "the first token of a row is not predicted from anything"
    longest = max(len(prefix) + len(rest) for prefix, rest in rows) - 1
    ids = np.zeros((len(rows), longest + 1), dtype=np.int64)
    trained = np.zeros((len(rows), longest), dtype=bool)
    lengths = []
    for row, (prefix, rest) in enumerate(rows):
        whole = [*prefix, *rest]
        ids[row, : len(whole)] = whole
        trained[row, len(prefix) - 1 : len(whole) - 1] = True
        lengths.append(len(whole) - 1)
    tokens = torch.from_numpy(ids)
    return CausalBatch(tokens[:, :-1], tokens[:, 1:], torch.from_numpy(trained), torch.tensor(lengths))
