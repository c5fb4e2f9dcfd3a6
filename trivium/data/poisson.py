"""Poisson sampling: each update takes each example with one probability, independently of all others.

That is what the guarantee of private training is computed for (Mironov, Talwar and Zhang 2019, section 2); shuffled
batches of a fixed size have another, weaker one. So batches vary in size, and may be empty.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from trivium.data.batches import CausalBatch
from trivium.data.examples import Example, fitting
from trivium.data.padding import padded
from trivium.data.resumable import check_same, check_sizes, identity_of
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError


class PoissonExamples:
    """Examples of which each batch takes every one by chance, one a row.

    Who can foretell which examples are taken is told more than the guarantee says. So the seed comes from the operating
    system and not from the run's; it is part of the state, which stays with whoever trains.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        vocabulary_size: int,
        context_tokens: int,
        rows: int,
        seed: int | None = None,
        drop_long: bool = False,
    ) -> None:
        """``rows`` is how many a batch has on average; ``seed`` is for tests.

        Raises `DataError` as `trivium.data.examples.fitting` does, `ConfigError` for more rows than examples.
        """
        check_sizes(context_tokens, rows, 1)
        kept = fitting(examples, context_tokens, drop_long=drop_long)
        if rows > len(kept):
            raise ConfigError(
                "a batch cannot take more examples than there are",
                received=f"{rows} rows, {len(kept)} examples",
                fix=f"set rows to at most {len(kept)}",
            )
        self.dropped = len(examples) - len(kept)
        """Examples left out because they are too long."""
        self.examples = len(kept)
        """Examples that may be taken."""
        self._ids = TokenStore.of([example.ids for example in kept], vocabulary_size=vocabulary_size)
        self._marks = TokenStore.of([example.trained for example in kept], vocabulary_size=2)
        self._identity = identity_of("poisson", self._ids, rows, context_tokens=context_tokens)
        self._identity |= {"trained": self._marks.fingerprint}
        self._rate = rows / len(kept)
        self._seed = secrets.randbits(63) if seed is None else seed
        self._batches = 0

    def __iter__(self) -> "PoissonExamples":
        return self

    def __next__(self) -> CausalBatch:
        chance = np.random.default_rng((self._seed, self._batches)).random(self.examples)
        self._batches += 1
        return self._batch(np.flatnonzero(chance < self._rate).tolist())

    @property
    def batches_per_epoch(self) -> float:
        """Batches that hold as many rows as there are examples, on average."""
        return 1 / self._rate

    def state_dict(self) -> dict[str, Any]:
        """Where the source stands, and its seed, as JSON."""
        return {**self._identity, "seed": self._seed, "batches": self._batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that was yielded when ``state`` was taken, with its seed.

        Raises `DataError` where the state was taken from other data or with other settings.
        """
        check_same(self._identity, state)
        self._seed, self._batches = int(state["seed"]), int(state["batches"])

    def _batch(self, chosen: Sequence[int]) -> CausalBatch:
        if not chosen:
            nothing = torch.zeros((0, 1), dtype=torch.long)
            return CausalBatch(nothing, nothing, nothing.bool(), torch.zeros(0, dtype=torch.long))
        ids, lengths = padded([self._ids.document(index) for index in chosen])
        marks, _ = padded([self._marks.document(index) for index in chosen])
        return CausalBatch(
            tokens=ids[:, :-1].contiguous(),
            targets=ids[:, 1:].contiguous(),
            mask=marks[:, 1:].bool(),
            lengths=lengths - 1,
        )
