"""Examples to learn answers from: their ids, which of them are trained on, and batches of them.

    example = Example.of(prompt_ids, completion_ids, end_id=eos)
    source = ExamplesSource([example, ...], vocabulary_size=4096, context_tokens=256, rows=8, drop_long=True)
    batch = next(source)                # CausalBatch; its mask is True where an answer is to be predicted

Ends are known by length, never by the id of padding: an end token is learnt even where the vocabulary pads with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trivium.data.batches import CausalBatch
from trivium.data.packing import Packing, Pieces, collate, pack
from trivium.data.resumable import ShuffledSource, check_sizes, identity_of
from trivium.data.shards import Ids, TokenStore
from trivium.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Example:
    """One text of a data set for tuning."""

    ids: Sequence[int]
    """All of it: what the model reads, and what it is to write."""
    trained: Sequence[bool]
    """For each of ``ids``: whether the model is to write it; the first has nothing before it and is never trained."""
    task: str | None = None
    """What it is an example of; None where the data does not say, as for the next two."""
    label: str | None = None
    """Its class."""
    group: str | None = None
    """What it belongs together with."""

    def __post_init__(self) -> None:
        assert len(self.ids) == len(self.trained), f"{len(self.ids)} ids, {len(self.trained)} marks"

    @classmethod
    def of(cls, prompt: Ids, completion: Ids, *, end_id: int) -> "Example":
        """A prompt with its completion, which is trained on together with the end token after it."""
        return cls(ids=[*prompt, *completion, end_id], trained=[False] * len(prompt) + [True] * (len(completion) + 1))


class PackedExamples:
    """Examples in rows of fixed width; those of one part never share a row with those of another."""

    def __init__(self, parts: Sequence[Sequence[Example]], *, vocabulary_size: int, context_tokens: int):
        """``parts`` hold examples that fit; each is packed by itself. Raises `DataError` for ids of no vocabulary."""
        examples = [example for part in parts for example in part]
        ids = [example.ids for example in examples]
        lengths = np.array([len(each) - 1 for each in ids], dtype=np.int64)  # the last id is only a target
        self._context_tokens = context_tokens
        self._store = TokenStore.of(ids, vocabulary_size=vocabulary_size)
        # The same sequences once more, of zeros and ones: collated alike, their targets are the mask.
        self._marks = TokenStore.of([example.trained for example in examples], vocabulary_size=2)
        self._pieces = Pieces(starts=self._store.boundaries[:-1], lengths=lengths, untrained=np.zeros_like(lengths))
        ends = np.cumsum([len(part) for part in parts])
        packings = [pack(part, context_tokens) for part in np.split(lengths, ends[:-1])]
        self._packing = _together(packings, [0, *ends[:-1].tolist()], float(lengths.sum()), context_tokens)
        self.row_starts = np.cumsum([0, *(packing.rows for packing in packings)])
        """Rows ``row_starts[n]`` up to ``row_starts[n + 1]`` hold part n, [parts + 1] int64."""

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return self._packing.rows

    @property
    def fill(self) -> float:
        """Fraction of positions that hold a token."""
        return self._packing.fill

    def batch(self, rows: np.ndarray) -> CausalBatch:
        """The batch of the rows with these numbers, [B, context_tokens]."""
        batch, marks = (
            collate(store, self._pieces, self._packing, rows, self._context_tokens)
            for store in (self._store, self._marks)
        )
        return replace(batch, mask=batch.mask & marks.targets.bool())

    def identity(self, kind: str, rows: int) -> dict[str, Any]:
        """What must be the same for the state of a source of these examples to be resumed."""
        identity = identity_of(kind, self._store, rows, context_tokens=self._context_tokens)
        return identity | {"trained": self._marks.fingerprint}


class ExamplesSource(ShuffledSource[CausalBatch]):
    """Examples packed in rows, unseen by each other; the loss is on the ids that are marked as trained."""

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        vocabulary_size: int,
        context_tokens: int,
        rows: int,
        seed: int = 0,
        drop_long: bool = False,
        rank: int = 0,
        world: int = 1,
    ):
        """With ``drop_long``, examples that do not fit in ``context_tokens`` are left out and counted in `dropped`.

        Raises:
            DataError: no example, one with nothing before what it trains on, or one that does not fit.
            ConfigError: there are fewer rows than ranks.
        """
        check_sizes(context_tokens, rows, world)
        kept = fitting(examples, context_tokens, drop_long=drop_long)
        self.dropped = len(examples) - len(kept)
        """Examples left out because they are too long."""
        self._packed = PackedExamples([kept], vocabulary_size=vocabulary_size, context_tokens=context_tokens)
        identity = self._packed.identity("examples", rows)
        super().__init__(identity, items=self._packed.rows, items_per_batch=rows, seed=seed, rank=rank, world=world)

    @property
    def fill(self) -> float:
        """Fraction of positions that hold a token."""
        return self._packed.fill

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        return self._packed.batch(self._shuffled_share(epochs, places))


def _together(packings: Sequence[Packing], firsts: Sequence[int], tokens: float, context_tokens: int) -> Packing:
    """One packing of all rows; part n begins with piece ``firsts[n]``."""
    pieces = [packing.pieces + first for packing, first in zip(packings, firsts, strict=True)]
    starts = [packing.row_starts[:-1] + first for packing, first in zip(packings, firsts, strict=True)]
    rows = sum(packing.rows for packing in packings)
    total = sum(map(len, pieces))
    return Packing(
        pieces=np.concatenate(pieces),
        row_starts=np.concatenate([*starts, [total]]),
        fill=tokens / (rows * context_tokens),
    )


def fitting(examples: Sequence[Example], context_tokens: int, *, drop_long: bool) -> list[Example]:
    """The examples of at most ``context_tokens`` input tokens.

    Raises:
        DataError: none of them fits, one has nothing before what it trains on, or, without ``drop_long``, one is too
            long.
    """
    for index, example in enumerate(examples):
        if len(example.ids) < 2 or example.trained[0]:
            raise DataError(
                "an example has an empty prompt, so nothing comes before its first token",
                received=f"example {index}",
                fix="begin prompts with the BOS token",
            )
    kept = [example for example in examples if len(example.ids) - 1 <= context_tokens]
    dropped = len(examples) - len(kept)
    if dropped and not drop_long:
        longest = max(len(example.ids) - 1 for example in examples)
        raise DataError(
            f"{dropped} of {len(examples)} examples are longer than the context",
            received=f"up to {longest} tokens",
            expected=f"at most {context_tokens} tokens of prompt and completion",
            fix=f"set context_tokens to {longest}, or leave the long examples out with drop_long",
        )
    if not kept:
        raise DataError(
            "there are no examples to train on",
            received=f"{dropped} examples, all longer than {context_tokens} tokens" if dropped else "none",
            fix="set a larger context_tokens" if dropped else "check the source of the examples",
        )
    return kept
