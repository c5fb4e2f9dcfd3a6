"""The negative log-likelihood of whole texts, one by one: what the measures of a generator of texts are made of."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trivium.data.shards import Ids
from trivium.data.whole_texts import whole_texts
from trivium.errors import DataError
from trivium.evaluation.intervals import Interval, bootstrap
from trivium.nn.evaluating import evaluating


@torch.inference_mode()
def text_nats(
    model: nn.Module, texts: Sequence[Ids], *, start: int, temperature: float = 1.0, rows: int = 128
) -> np.ndarray:
    """-log p of each text in nats, the sum over its tokens, [N] float64.

    `model` is a causal one; `start` stands before every text and is not scored. p is the distribution that is sampled
    from at `temperature`. `rows` texts are read at a time. Raises `DataError` where a text has no token.
    """
    for index, text in enumerate(texts):
        if not len(text):
            raise DataError("a text without tokens has no likelihood", received=f"text {index}", fix="leave it out")
    device = next(model.parameters()).device
    nats = []
    with evaluating(model):
        for first in range(0, len(texts), rows):
            batch = whole_texts(texts[first : first + rows], start).to(device)
            hidden = model(batch.tokens, lengths=batch.lengths).hidden[batch.mask]
            logs = model.head.log_prob(hidden, batch.targets[batch.mask], temperature=temperature)
            row = torch.arange(batch.rows, device=device).repeat_interleave(batch.lengths)
            nats.append(-torch.zeros(batch.rows, dtype=torch.float64, device=device).index_add_(0, row, logs.double()))
    return torch.cat(nats).cpu().numpy() if nats else np.zeros(0)


def nats_per_token(
    model: nn.Module, texts: Sequence[Ids], *, start: int, temperature: float = 1.0, seed: int = 0
) -> Interval:
    """All nats over all tokens, and where that lies for other texts of the kind (95 %; resampled with `seed`).

    Raises `DataError` for fewer than two texts, and where one has no token.
    """
    nats = text_nats(model, texts, start=start, temperature=temperature)
    sums = np.stack([nats, [len(text) for text in texts]], 1)
    return bootstrap(sums, lambda sums: sums[..., 0] / sums[..., 1], method="percentile", seed=seed)
