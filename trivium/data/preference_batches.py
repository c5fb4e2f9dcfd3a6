"""Answers that were compared, or called good or bad, as batches of about one length.

source = preference_source([PairExample(chosen=..., rejected=...), ...], rows=16)        # PreferenceBatch
source = judged_source(with_mismatched(judged), rows=16)                                 # JudgedBatch

A batch holds a fixed number of pairs, each pair in a row of its two sides; `trivium.objectives.answers` reads them
without padding. Rows that were packed beforehand, of any number of pairs each, would make the number of pairs of a
batch an accident of their lengths, and save nothing over that.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trivium.data.batches import JudgedBatch, Mismatched, PreferenceBatch
from trivium.data.bucketed import BucketedSource
from trivium.data.examples import Example
from trivium.data.labelled_batches import examples_batch
from trivium.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class PairExample:
    """Two answers to one prompt, as ids."""

    chosen: Example
    """The prompt with the answer that was preferred, trained on the answer."""
    rejected: Example
    """The prompt with the other one."""
    weight: float = 1.0
    """What the pair counts for."""
    margin: float = 0.0
    """By how much it was preferred; 0 where that is not known."""
    probability: float = 1.0
    """How probable it is that it is the better one: less than 1 where whoever judged was not sure."""
    reference: tuple[float, float] | None = None
    """Log-probabilities of both under a reference."""


@dataclass(frozen=True, kw_only=True)
class JudgedExample:
    """A good or a bad answer, as ids."""

    answer: Example
    """The prompt with the answer, trained on the answer."""
    good: bool
    """Which it is."""
    prompt: str
    """What tells its prompt from others."""
    weight: float = 1.0
    """What it counts for."""
    mismatched: Example | None = None
    """The prompt with an answer to another, see `with_mismatched`."""
    reference: tuple[float, float] | None = None
    """Log-probabilities of the answer, and of the mismatched one, under a reference."""


def preference_source(
    pairs: Sequence[PairExample], *, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[PreferenceBatch]:
    """Batches of at most ``rows`` pairs, over all processes. Raises as `BucketedSource`."""
    return BucketedSource(
        [len(pair.chosen.ids) + len(pair.rejected.ids) for pair in pairs],
        partial(preference_batch, pairs),
        fingerprint=_fingerprint(
            (_plain(pair.chosen), _plain(pair.rejected), pair.weight, pair.margin, pair.probability) for pair in pairs
        ),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def preference_batch(pairs: Sequence[PairExample], indices: Sequence[int] | np.ndarray) -> PreferenceBatch:
    """The pairs at ``indices`` as one batch; all of them know their reference, or none does."""
    chosen = [pairs[index] for index in indices]
    every = range(len(chosen))
    sure = all(pair.probability == 1.0 for pair in chosen)
    return PreferenceBatch(
        chosen=examples_batch([pair.chosen for pair in chosen], every),
        rejected=examples_batch([pair.rejected for pair in chosen], every),
        weights=torch.tensor([pair.weight for pair in chosen]),
        margins=torch.tensor([pair.margin for pair in chosen]),
        probabilities=None if sure else torch.tensor([pair.probability for pair in chosen]),
        reference=_references([pair.reference for pair in chosen]),
    )


def judged_source(
    judged: Sequence[JudgedExample], *, rows: int, seed: int = 0, rank: int = 0, world: int = 1
) -> BucketedSource[JudgedBatch]:
    """Batches of at most ``rows`` answers, over all processes; each process holds the mismatched texts of the whole
    batch. Raises as `BucketedSource`, and `ConfigError` for a batch of one, whose divergence cannot be estimated."""
    if rows < 2:
        raise ConfigError(
            "a divergence is estimated from the answers of a batch", received=f"{rows} row", expected="two or more"
        )
    return BucketedSource(
        [len(each.answer.ids) for each in judged],
        partial(judged_batch, judged),
        fingerprint=_fingerprint((_plain(each.answer), each.good, each.weight) for each in judged),
        rows=rows,
        seed=seed,
        rank=rank,
        world=world,
    )


def judged_batch(judged: Sequence[JudgedExample], indices: Sequence[int] | np.ndarray) -> JudgedBatch:
    """The answers at ``indices`` as one whole batch; each has a mismatched text."""
    chosen = [judged[index] for index in indices]
    mismatched = [each.mismatched for each in chosen if each.mismatched is not None]
    assert len(mismatched) == len(chosen), "with_mismatched comes first"
    every = range(len(chosen))
    references = _references([each.reference for each in chosen])
    return JudgedBatch(
        answers=examples_batch([each.answer for each in chosen], every),
        good=torch.tensor([each.good for each in chosen]),
        weights=torch.tensor([each.weight for each in chosen]),
        mismatched=Mismatched(
            answers=examples_batch(mismatched, every), reference=None if references is None else references[:, 1]
        ),
        reference=None if references is None else references[:, 0],
    )


def with_mismatched(judged: Sequence[JudgedExample], *, context_tokens: int, seed: int = 0) -> list[JudgedExample]:
    """Each with an answer to another prompt beside it, the next one in an order of chance; what does not fit in
    ``context_tokens`` is cut off its end.

    They are the same in every epoch, so that a reference reads them once. Raises `DataError` where all answer one
    prompt.
    """
    if len({each.prompt for each in judged}) < 2:
        raise DataError(
            "a divergence is estimated from answers to other prompts, and there are none",
            received=f"{len(judged)} answers to one prompt",
            fix="give answers to several prompts, or use pairs",
        )
    order = np.random.default_rng(seed).permutation(len(judged)).tolist()
    place_of = {index: place for place, index in enumerate(order)}
    return [
        replace(each, mismatched=_swapped(each, _next_other(judged, order, place_of[index]), context_tokens))
        for index, each in enumerate(judged)
    ]


def _next_other(judged: Sequence[JudgedExample], order: Sequence[int], place: int) -> JudgedExample:
    """The next in the order, round its end, that answers another prompt than the one at ``place``."""
    own = judged[order[place]].prompt
    later = (judged[order[(place + step) % len(order)]] for step in range(1, len(order)))
    return next(other for other in later if other.prompt != own)


def _swapped(asked: JudgedExample, answered: JudgedExample, context_tokens: int) -> Example:
    """The prompt of one with the answer of the other; the last id is only a target."""
    prompt, _ = _parts(asked.answer)
    _, answer = _parts(answered.answer)
    answer = answer[: context_tokens + 1 - len(prompt)]
    return Example(ids=[*prompt, *answer], trained=[False] * len(prompt) + [True] * len(answer))


def _parts(example: Example) -> tuple[Sequence[int], Sequence[int]]:
    """(what is read, what is written): one answer stands at the end."""
    begin = list(example.trained).index(True)
    return example.ids[:begin], example.ids[begin:]


def _references(known: Sequence[tuple[float, float] | None]) -> Float[Tensor, "B 2"] | None:
    numbers = [each for each in known if each is not None]
    assert len(numbers) in (0, len(known)), "a reference has read all of them or none"
    return torch.tensor(numbers) if numbers else None


def _plain(example: Example) -> tuple[list[int], list[bool]]:
    return [int(id) for id in example.ids], [bool(each) for each in example.trained]


def _fingerprint(facts: Iterable[object]) -> str:
    """Of examples, without what a reference said of them: it says the same again."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(json.dumps(fact).encode())
    return digest.hexdigest()
