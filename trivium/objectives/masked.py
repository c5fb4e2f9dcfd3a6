"""Masked-token prediction (Devlin et al. 2019, section 3.1, task 1): the corruption and its loss.

What is masked together is a unit: a token by itself as published first, the pieces of a word (the authors' later
"whole word masking"), or the words of a phrase or of a name (ERNIE, Sun et al. 2019, section 3.2).
`trivium.data.word_units` and `trivium.data.phrases` tell which.
"""

from collections.abc import Collection

import numpy as np
from torch import nn

from trivium.data.batches import MaskedBatch
from trivium.objectives.loss import Loss

_MASKED, _RANDOM = 0.8, 0.9
"""Below the first a chosen token is masked, below the second replaced by chance, above it stays."""


def mask_row(
    ids: np.ndarray,
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocabulary_size: int,
    rate: float = 0.15,
    units: np.ndarray | None = None,
    special_ids: Collection[int] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses a share ``rate`` of the units of a row and corrupts their tokens.

    Of the chosen tokens, each by itself, 80 % become ``mask_id``, 10 % a random piece (which may be the right one, as
    published) and 10 % stay as they are: the model never knows which of the tokens it sees are true.

    Every unit is chosen with probability ``rate`` exactly, so that the expected share of tokens is ``rate`` whatever
    the units' sizes; and of n units either the whole number below or the one above ``rate`` n are chosen, so that
    every row of 1 / ``rate`` units or more has something to predict.

    Args:
        ids: [T], one row without padding.
        rng: the chance of this row.
        mask_id: the id of [MASK].
        vocabulary_size: random pieces are drawn from the ids below it.
        rate: share that is chosen, above 0 and below 1.
        units: [T], the number of the unit that each position belongs to, counted from 0 in their order; None: every
            token is a unit.
        special_ids: never chosen, and neither is the rest of a unit that has one.

    Returns:
        The corrupted ids [T] and the mask [T], True where a token is to be predicted.
    """
    assert 0 < rate < 1, rate
    if units is None:
        units = np.arange(len(ids))
    chosen_units = np.zeros(len(ids), dtype=bool)
    chosen_units[_sampled(_choosable(ids, units, special_ids), rng, rate)] = True
    mask = chosen_units[units]
    places = np.flatnonzero(mask)
    fate = rng.random(len(places))
    corrupted = ids.copy()
    corrupted[places[fate < _MASKED]] = mask_id
    replaced = places[(fate >= _MASKED) & (fate < _RANDOM)]
    corrupted[replaced] = rng.integers(vocabulary_size, size=len(replaced))
    return corrupted, mask


def masked(model: nn.Module, batch: MaskedBatch) -> Loss:
    """Negative log-likelihood (nats) of the original ids at the corrupted positions."""
    output = model(batch.tokens, lengths=batch.lengths)
    total = model.head.nll_sum(output.hidden[batch.mask], batch.targets[batch.mask])
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), auxiliary=output.auxiliary)


def _choosable(ids: np.ndarray, units: np.ndarray, special_ids: Collection[int]) -> np.ndarray:
    """The numbers of the units without special tokens."""
    allowed = np.ones(len(ids), dtype=bool)
    allowed[int(units[-1]) + 1 if len(units) else 0 :] = False
    for id in special_ids:
        allowed[units[ids == id]] = False
    return np.flatnonzero(allowed)


def _sampled(items: np.ndarray, rng: np.random.Generator, rate: float) -> np.ndarray:
    """A share ``rate`` of ``items``: systematic sampling (Madow and Madow 1944) in an order of chance.

    One number u in [0, 1) decides for all: the k-th is taken where a whole number lies above ``rate`` k + u and not
    above ``rate`` (k + 1) + u.
    """
    steps = np.floor(rate * np.arange(len(items) + 1) + rng.random())
    return rng.permutation(items)[steps[1:] > steps[:-1]]
