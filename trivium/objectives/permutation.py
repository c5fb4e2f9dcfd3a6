"""Permutation language modelling (Yang et al. 2019, sections 2.2 and 2.3): prediction in an order drawn by chance.

    max  E_{z ~ Z_T}  sum_{t > c} log p(x_{z_t} | x_{z_<=c}, x_{z_c+1 .. z_t-1})

Only the last of an order are predicted, about 1 / K of a text: the first have too little to be told by. What is not
predicted, z_<=c, is seen by all (rank 0); the predicted ones have the ranks 1, 2, ... in their order.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from trivium.data.batches import PermutationBatch
from trivium.errors import ConfigError, DataError
from trivium.objectives.loss import Loss


def permute(
    ids: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    special_ids: Collection[int] = (),
    one_in: int = 6,
    longest_span: int = 5,
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each position in an order of chance ``[T]`` (int64), and which positions are predicted ``[T]``.

    About one token ``one_in`` (K of section 2.3) is predicted, at least one, and never one of ``special_ids``. As the
    paper trains (section 3.1), they are spans: L of 1 to ``longest_span`` neighbours, somewhere within the K L tokens
    that are the span's. The short ones are likelier, as 1 / L (the published code). With ``longest_span`` 1 the last of
    a uniform order are predicted, wherever they are. In either case they are predicted in a uniform order.
    Raises ``DataError`` for ids that are not a row, ``ConfigError`` for ``one_in`` or ``longest_span`` below 1.
    """
    tokens = np.asarray(ids)
    if tokens.ndim != 1:
        raise DataError("a text to permute is one row of ids", received=f"shape {list(tokens.shape)}")
    if one_in < 1 or longest_span < 1:
        raise ConfigError(
            "one_in and longest_span count tokens", received=f"{one_in} and {longest_span}", expected="1 or more"
        )
    eligible = ~np.isin(tokens, list(special_ids))
    if longest_span == 1:
        choices = np.flatnonzero(eligible)
        mask = np.zeros(tokens.shape, dtype=bool)
        mask[rng.permutation(choices)[: max(round(len(choices) / one_in), 1)]] = True
    else:
        mask = _spans(len(tokens), rng, one_in, longest_span) & eligible
        if not mask.any() and eligible.any():
            mask[rng.choice(np.flatnonzero(eligible))] = True
    ranks = np.zeros(tokens.shape, dtype=np.int64)
    ranks[mask] = rng.permutation(int(mask.sum())) + 1
    return ranks, mask


def _spans(length: int, rng: np.random.Generator, one_in: int, longest: int) -> np.ndarray:
    """Which of ``length`` positions are predicted, in spans."""
    mask = np.zeros(length, dtype=bool)
    sizes = np.arange(1, longest + 1)
    chances = (1 / sizes) / (1 / sizes).sum()
    begin = 0
    while begin < length:
        size = int(rng.choice(sizes, p=chances))
        start = begin + int(rng.integers(size * (one_in - 1) + 1))
        mask[start : start + size] = True
        begin += size * one_in
    return mask


def permutation(model: nn.Module, batch: PermutationBatch) -> Loss:
    """Negative log-likelihood (nats) of the predicted tokens, each given what comes before it in the order."""
    places, real = predicted_places(batch.mask)
    output = model(batch.tokens, lengths=batch.lengths, ranks=batch.ranks, predicted=places)
    total = model.head.nll_sum(output.hidden[real], batch.tokens.gather(1, places)[real])
    return Loss(total=total, count=real.sum().to(total.dtype), auxiliary=output.auxiliary)


def predicted_places(mask: Bool[Tensor, "B T"]) -> tuple[Int[Tensor, "B P"], Bool[Tensor, "B P"]]:
    """Where ``mask`` is true, row by row, and which of these places are real: rows with fewer are filled up."""
    counts = mask.sum(1)
    most = int(counts.max())
    places = mask.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return places, torch.arange(most, device=mask.device) < counts[:, None]
