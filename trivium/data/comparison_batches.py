"""Answers that were compared, as batches: every prompt with all of its answers, each of which is a row once.

A ranking of K answers is C(K, 2) comparisons. As so many pairs each answer would be read K - 1 times; here the network
reads K rows, and all pairs are formed of their K scores (Ouyang et al. 2022, section 3.5). What is split, among
micro-batches or processes, is prompts.

source = comparison_source([Compared(rows=((5, 6), (5, 9, 7)), said=(Said(better=0, worse=1),))], rows=32)
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.data.batches import Batch
from trivium.data.bucketed import BucketedSource
from trivium.data.shards import Ids, TokenStore


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """That one answer is better than another."""

    better: int
    """Its place among the answers."""
    worse: int
    """That of the other."""
    criterion: int = 0
    """By which of the criteria."""
    weight: float = 1.0
    """What it counts for; 1 / C(K, 2) where K answers were ranked."""
    margin: float = 0.0
    """By how much it is better, in the unit of a score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """A prompt and its answers."""

    rows: tuple[Ids, ...]
    """The ids of the prompt with each answer."""
    said: tuple[Said, ...]
    """What was said of them."""
    types: tuple[Ids, ...] | None = None
    """Token types of each row, for models that are told which of two joined texts an id belongs to."""


@dataclasses.dataclass(frozen=True, eq=False)
class ComparisonBatch(Batch):
    """K answers to each of B prompts, compared by C criteria."""

    tokens: Int[Tensor, "B K T"]
    """Input ids of each prompt with each of its answers."""
    lengths: Int[Tensor, "B K"]
    """Valid positions of each row; 0 where a prompt has fewer answers."""
    weights: Float[Tensor, "B C K K"]
    """What it counts for that the first answer is better than the second by the criterion; 0 where nobody says so."""
    margins: Float[Tensor, "B C K K"]
    """By how much it is better, in the unit of a score."""
    token_types: Int[Tensor, "B K T"] | None = None
    """Which of two joined texts a position belongs to, for models that are told."""

    @property
    def num_tokens(self) -> int:
        return self.rows


def comparison_source(
    compared: Sequence[Compared], *, criteria: int = 1, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[ComparisonBatch]:
    """Batches of ``rows`` prompts at most whose answers have about as many tokens in all.

    Raises:
        DataError: there are no prompts, or fewer than processes.
        ConfigError: there are fewer rows than ranks.
    """
    return BucketedSource(
        [sum(map(len, each.rows)) for each in compared],
        functools.partial(comparison_batch, compared, criteria=criteria),
        fingerprint=_fingerprint(compared),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def comparison_batch(
    compared: Sequence[Compared], indices: Sequence[int] | np.ndarray, *, criteria: int = 1
) -> ComparisonBatch:
    """The prompts at ``indices`` as one batch."""
    chosen = [compared[index] for index in indices]
    answers = max(len(each.rows) for each in chosen)
    longest = max(len(row) for each in chosen for row in each.rows)
    tokens = np.zeros((len(chosen), answers, longest), dtype=np.int64)
    types = np.zeros_like(tokens) if any(each.types is not None for each in chosen) else None
    lengths = np.zeros((len(chosen), answers), dtype=np.int64)
    weights = np.zeros((len(chosen), criteria, answers, answers), dtype=np.float32)
    margins = np.zeros_like(weights)
    for place, each in enumerate(chosen):
        for answer, row in enumerate(each.rows):
            tokens[place, answer, : len(row)] = row
            lengths[place, answer] = len(row)
            if types is not None and each.types is not None:
                types[place, answer, : len(row)] = each.types[answer]
        for said in each.said:
            weights[place, said.criterion, said.better, said.worse] += said.weight
            margins[place, said.criterion, said.better, said.worse] = said.margin
    return ComparisonBatch(
        tokens=torch.from_numpy(tokens),
        lengths=torch.from_numpy(lengths),
        weights=torch.from_numpy(weights),
        margins=torch.from_numpy(margins),
        token_types=None if types is None else torch.from_numpy(types),
    )


def _fingerprint(compared: Sequence[Compared]) -> str:
    """Of all rows, and of all that was said of them."""
    rows = [row for each in compared for row in each.rows]
    # The vocabulary only decides how ids are stored: any id that there may be fits.
    texts = TokenStore.of(rows, vocabulary_size=1 << 32).fingerprint if rows else ""
    said = repr([(len(each.rows), [dataclasses.astuple(one) for one in each.said]) for each in compared])
    return f"{texts}+{hashlib.sha256(said.encode()).hexdigest()}"
