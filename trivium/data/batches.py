"""The shapes of data that objectives consume, one frozen dataclass each.

Rows are ragged: they are left-aligned, ``lengths`` counts the valid positions, and whatever stands beyond them is
unspecified. A loss therefore masks by ``mask`` or ``lengths`` and never by the id of a padding token. ``mask`` marks
the positions whose target is trained on; ``num_tokens`` counts them, and is what a sum of losses is divided by after
it has been added over all micro-batches and all ranks.

Letters: B batch, T target length, S source length.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Shape = TypeVar("Shape", bound="Batch")


class Batch(ABC):
    """What every batch can do, whatever its fields: move, split by rows, count."""

    @property
    def rows(self) -> int:
        """Number of rows, B: every field has them first."""
        _, first = _items(self)[0]
        return first.rows if isinstance(first, Batch) else first.shape[0]

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Number of trained positions: the true count that the summed loss is divided by."""

    def to(self: Shape, device: torch.device | str) -> Shape:
        """The same batch with every tensor on ``device``."""
        return type(self)(**{name: _moved(value, device) for name, value in _items(self)})

    def part(self: Shape, start: int, stop: int) -> Shape:
        """Rows ``start`` to ``stop``, as wide as the whole; tensors are views."""
        return type(self)(**{name: _cut(value, start, stop) for name, value in _items(self)})

    def ordered(self: Shape, order: Int[Tensor, "B"]) -> Shape:
        """The rows in another order, of a batch whose fields are tensors or not given."""
        given = {name: value for name, value in _items(self) if isinstance(value, Tensor)}
        return replace(self, **{name: value[order] for name, value in given.items()})  # pyright: ignore[reportArgumentType]

    def trimmed(self: Shape) -> Shape:
        """Without the columns that no row reaches, of a batch with ``tokens`` and ``lengths``."""
        given = dict(_items(self))
        whole, width = given["tokens"].shape[1], int(given["lengths"].max())
        wide = {name: value for name, value in given.items() if isinstance(value, Tensor) and value.dim() > 1}
        cut = {name: value[:, :width] for name, value in wide.items() if value.shape[1] == whole}
        return replace(self, **cut)  # pyright: ignore[reportArgumentType]

    def split(self: Shape, n: int) -> list[Shape]:
        """At most ``n`` micro-batches of consecutive rows whose sizes differ by at most one, none of them empty.

        Rows keep their order, so joining the parts gives back the batch. Tensors are views, nothing is copied.
        """
        assert n >= 1, f"a batch is split in at least one part, not {n}"
        count = max(1, min(n, self.rows))
        size, larger = divmod(self.rows, count)
        parts: list[Shape] = []
        start = 0
        for index in range(count):
            stop = start + size + (index < larger)
            parts.append(self.part(start, stop))
            start = stop
        return parts


@dataclass(frozen=True, eq=False)
class CausalBatch(Batch):
    """Next-token prediction: ``targets[b, t]`` follows ``tokens[b, : t + 1]``. An RNN and a LLaMA take the same."""

    tokens: Int[Tensor, "B T"]
    """Input ids."""
    targets: Int[Tensor, "B T"]
    """The id to predict at each position; unspecified (but a valid id) where ``mask`` is False."""
    mask: Bool[Tensor, "B T"]
    """True where the target is trained on."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""
    segments: Int[Tensor, "B T"] | None = None
    """Index of the document that a position belongs to, counted from 0 within its row; attention never crosses
    documents, positions restart in each; negative = padding."""
    continues: Bool[Tensor, "B"] | None = None
    """True for the rows that carry on from the same row of the previous batch (truncated back-propagation)."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class MaskedBatch(Batch):
    """Masked-token prediction (BERT): ``targets`` are the original ids, predicted where ``mask`` is True."""

    tokens: Int[Tensor, "B T"]
    """Corrupted ids."""
    targets: Int[Tensor, "B T"]
    """Original ids."""
    mask: Bool[Tensor, "B T"]
    """True at the positions to predict."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class Seq2SeqBatch(Batch):
    """A source and the target to write for it, with the decoder's input already shifted right."""

    source: Int[Tensor, "B S"]
    """Encoder ids."""
    source_lengths: Int[Tensor, "B"]
    """Valid positions of each source."""
    tokens: Int[Tensor, "B T"]
    """Decoder input: the start id, then the target without its last id."""
    targets: Int[Tensor, "B T"]
    """The target, ended by EOS."""
    mask: Bool[Tensor, "B T"]
    """True where the target is trained on."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each target."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class LabelledBatch(Batch):
    """One label for each row: a class, or what is to be estimated (regression)."""

    tokens: Int[Tensor, "B T"]
    """Input ids."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""
    labels: Int[Tensor, "B"] | Float[Tensor, "B"] | Float[Tensor, "B N"]
    """Class index of each row; for regression one number, or N."""
    token_types: Int[Tensor, "B T"] | None = None
    """Which of two joined texts a position belongs to, for models that are told."""

    @property
    def num_tokens(self) -> int:
        return self.rows


@dataclass(frozen=True, eq=False)
class SpanBatch(Batch):
    """A stretch of positions to find in each row (answers to questions about a text)."""

    tokens: Int[Tensor, "B T"]
    """Input ids: the question and the text, joined."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""
    starts: Int[Tensor, "B"]
    """First position of the answer; 0, the position of [CLS], where the text does not answer."""
    ends: Int[Tensor, "B"]
    """Last position of the answer, itself included."""
    token_types: Int[Tensor, "B T"] | None = None
    """Which of the two joined texts a position belongs to, for models that are told."""

    @property
    def num_tokens(self) -> int:
        return self.rows


@dataclass(frozen=True, eq=False)
class TaggedBatch(Batch):
    """One label for each word of a row (tagging); a word is read at its first piece (Devlin et al. 2019, section 5.3).

    W is the number of words of the longest row."""

    tokens: Int[Tensor, "B T"]
    """Input ids: the pieces of all words."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""
    words: Int[Tensor, "B W"]
    """Position of the first piece of each word; 0 beyond a row's last word."""
    word_lengths: Int[Tensor, "B"]
    """Words of each row."""
    tags: Int[Tensor, "B W"]
    """Class index of each word."""
    token_types: Int[Tensor, "B T"] | None = None
    """Which of two joined texts a position belongs to, for models that are told."""

    @property
    def num_tokens(self) -> int:
        return int(self.word_lengths.sum())


@dataclass(frozen=True, eq=False)
class PermutationBatch(Batch):
    """Token prediction in an order of chance (XLNet): a position sees those of a lower rank, and its target is its own
    token."""

    tokens: Int[Tensor, "B T"]
    """Input ids, uncorrupted."""
    ranks: Int[Tensor, "B T"]
    """The place of each position in the order of factorisation."""
    mask: Bool[Tensor, "B T"]
    """True at the positions to predict."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class Texts(Batch):
    """Texts without any target, one a row: what is embedded."""

    tokens: Int[Tensor, "B T"]
    """Input ids."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row."""

    @property
    def num_tokens(self) -> int:
        return self.rows


@dataclass(frozen=True, eq=False)
class ContrastiveBatch(Batch):
    """Texts that belong together: row b of ``first`` and row b of ``second``. The other rows are what it is told from.

    The loss of a row depends on the rows beside it, so a part of such a batch is another problem than the whole."""

    first: Texts
    """One side of each pair."""
    second: Texts
    """The other side, B rows; the very same texts for the unsupervised loss."""
    whole: Int[Tensor, "B"]
    """At each row, how many rows the batch was made with: a part of a batch can be told from a whole one."""
    negatives: Texts | None = None
    """At each row a text that does not belong to it, though it seems to (a hard negative); B rows."""

    @property
    def num_tokens(self) -> int:
        return self.rows


@dataclass(frozen=True, eq=False)
class PreferenceBatch(Batch):
    """Two answers to the same prompts: row b of ``chosen`` was preferred to row b of ``rejected``."""

    chosen: CausalBatch
    """The preferred answers, trained on the answer only."""
    rejected: CausalBatch
    """The other answers, trained on the answer only."""
    weights: Float[Tensor, "B"]
    """What each pair counts for: the pairs of one ranking count for one together."""
    margins: Float[Tensor, "B"]
    """By how much the first was preferred; 0 where that is not known."""
    probabilities: Float[Tensor, "B"] | None = None
    """How probable it is that the first is the better one; None where whoever judged was sure of all of them."""
    reference: Float[Tensor, "B 2"] | None = None
    """Log-probabilities of both answers under a reference, the chosen one's first; None where they are computed in the
    step."""

    @property
    def num_tokens(self) -> int:
        return self.chosen.num_tokens + self.rejected.num_tokens


@dataclass(frozen=True, eq=False)
class Mismatched:
    """Prompts with answers to others, of a whole batch: no part of a `JudgedBatch`, so it is neither cut nor moved."""

    answers: CausalBatch
    """Row b is the prompt of the whole batch's row b, with an answer to another."""
    reference: Float[Tensor, "B"] | None = None
    """Their log-probabilities under a reference; None where they are computed in the step."""


@dataclass(frozen=True, eq=False)
class JudgedBatch(Batch):
    """Answers that were called good or bad, each by itself."""

    answers: CausalBatch
    """The answers, trained on the answer only."""
    good: Bool[Tensor, "B"]
    """Which are good."""
    weights: Float[Tensor, "B"]
    """What each counts for."""
    mismatched: Mismatched
    """What the divergence of the whole batch is estimated from, whatever part of it this is."""
    reference: Float[Tensor, "B"] | None = None
    """Log-probabilities of the answers under a reference; None where they are computed in the step."""

    @property
    def num_tokens(self) -> int:
        return self.answers.num_tokens


@dataclass(frozen=True, eq=False)
class RolloutBatch(Batch):
    """Prompts with the completions that a policy sampled for them, and what was recorded while it did."""

    tokens: Int[Tensor, "B T"]
    """Prompt then completion."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each row, prompt included."""
    prompt_lengths: Int[Tensor, "B"]
    """Positions of each row that are prompt."""
    log_probs: Float[Tensor, "B T"]
    """Natural log-probability of ``tokens[b, t]`` under the policy that sampled it."""
    values: Float[Tensor, "B T"]
    """The critic's estimate at each position."""
    rewards: Float[Tensor, "B T"]
    """Reward received at each position."""
    mask: Bool[Tensor, "B T"]
    """True at the completion's positions."""
    groups: Int[Tensor, "B"]
    """Which rows answer the same prompt: prompts are numbered from 0."""
    told: Mapping[str, float] = field(default_factory=dict)
    """What was measured of the whole batch while it was made, to be reported with it."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


def _items(batch: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(batch, field.name)) for field in fields(batch)]


def _moved(value: Any, device: torch.device | str) -> Any:
    return value.to(device) if isinstance(value, Tensor | Batch) else value


def _cut(value: Any, start: int, stop: int) -> Any:
    """Rows ``start:stop`` of a field: a tensor, or a nested batch; of anything else, the whole."""
    if isinstance(value, Tensor):
        return value[start:stop]
    if isinstance(value, Batch):
        return type(value)(**{name: _cut(inner, start, stop) for name, inner in _items(value)})
    return value
