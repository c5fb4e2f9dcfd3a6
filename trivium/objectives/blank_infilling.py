"""Autoregressive blank infilling (Du et al. 2022, "GLM", section 2.1): the corruption and its loss.

    text      x1 x2 x3 x4 x5 x6, of which x3 and x5 x6 are hidden
    part A    x1 x2 [M] x4 [M]         positions 0 1 2 3 4, within a blank 0 0 0 0 0
    part B    [S] x5 x6  [S] x3        positions 4 4 4 2 2, within a blank 1 2 3 1 2
    targets   x5 x6 [E]  x3 [E]

The blanks are written in an order of chance, each from its own start to its own end, and each sees all of part A and
the blanks written before it. Section 2.1 hides spans of 3 tokens on average until 15 % of the text is hidden ([MASK]);
section 2.1 also has whole sentences ([sMASK], again 15 %) and one long span ([gMASK], from half to all of the text,
its end), for which the larger models have a mark each.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from trivium.data.batches import Batch
from trivium.data.padding import padded
from trivium.errors import ConfigError, DataError
from trivium.objectives.denoising import place_spans, sentences
from trivium.objectives.loss import Loss


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The ids of the special tokens."""

    mask: int
    """[MASK]: a blank of some tokens."""
    sentence_mask: int
    """[sMASK]: a blank of a whole sentence; the same as ``mask`` in the smaller models."""
    document_mask: int
    """[gMASK]: a blank that goes on to the end of the text; likewise."""
    start: int
    """<|startofpiece|>: what is written in a blank begins."""
    end: int
    """<|endofpiece|>: it ends."""
    begin: int | None = None
    """[CLS], put before part A; None puts nothing there."""


@dataclass(frozen=True, eq=False)
class Blanks:
    """One text with blanks, and what stands in them, in the order in which it is written."""

    source: np.ndarray
    """``[S]``: part A."""
    tokens: np.ndarray
    """``[T]``: part B as it is given to the model, a start for each blank."""
    targets: np.ndarray
    """``[T]``: part B as it is to be predicted, an end for each blank."""
    positions: np.ndarray
    """``[T]``: the place of each token's blank in part A."""
    block_positions: np.ndarray
    """``[T]``: the place of each token within its blank, from 1."""


@dataclass(frozen=True, eq=False)
class BlankBatch(Batch):
    """Texts with blanks and what stands in them; the fields as in ``Blanks``."""

    source: Int[Tensor, "B S"]
    """Part A."""
    source_lengths: Int[Tensor, "B"]
    """Valid positions of each part A."""
    tokens: Int[Tensor, "B T"]
    """Part B as given."""
    targets: Int[Tensor, "B T"]
    """Part B as predicted."""
    positions: Int[Tensor, "B T"]
    """The place of each token's blank in part A."""
    block_positions: Int[Tensor, "B T"]
    """The place of each token within its blank, from 1."""
    mask: Bool[Tensor, "B T"]
    """True where the target is trained on."""
    lengths: Int[Tensor, "B"]
    """Valid positions of each part B."""

    @property
    def num_tokens(self) -> int:
        return int(self.mask.sum())


def blank_infilling(model: nn.Module, batch: BlankBatch) -> Loss:
    """Negative log-likelihood (nats) of what stands in the blanks, their ends included (equation 1)."""
    state = model.encode(batch.source, batch.source_lengths)
    output = model(
        batch.tokens,
        lengths=batch.lengths,
        state=state,
        positions=batch.positions,
        block_positions=batch.block_positions,
    )
    total = model.head.nll_sum(output.hidden[batch.mask], batch.targets[batch.mask])
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), auxiliary=output.auxiliary)


def hide_spans(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    marks: Marks,
    *,
    special_ids: Collection[int] = (),
    rate: float = 0.15,
    mean_span: float = 3.0,
) -> Blanks:
    """Token level: spans of Poisson lengths (none of them empty) until at least ``rate`` of the text is hidden.

    At least one token stands between two spans, and ``special_ids`` are never hidden. Raises ``DataError`` for fewer
    than two tokens, or where nothing may be hidden, ``ConfigError`` for a rate or a mean that cannot be.
    """
    ids = _row(tokens)
    if not 0.0 < rate < 1.0 or not mean_span > 0.0:
        raise ConfigError(
            "spans cannot be drawn so",
            received=f"rate {rate}, mean_span {mean_span}",
            expected="a rate between 0 and 1, and a mean above 0",
        )
    free = ~np.isin(ids, list(special_ids))
    wanted = min(max(1, math.ceil(rate * int(free.sum()))), len(ids) - 1)
    lengths: list[int] = []
    while sum(lengths) < wanted:
        length = int(rng.poisson(mean_span))
        if length:
            lengths.append(min(length, len(ids) - 1))
    hidden = place_spans(np.array(lengths), free, rng)
    if not hidden.any() and free.any():  # chance put every span where nothing may be hidden
        hidden[rng.choice(np.flatnonzero(free))] = True
    return blank_out(ids, hidden, rng, marks, marks.mask)


def hide_sentences(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    marks: Marks,
    *,
    sentence_ends: Collection[int],
    rate: float = 0.15,
) -> Blanks:
    """Sentence level: sentences drawn at random until at least ``rate`` of the text is hidden. Each is a blank of its
    own, also beside another. A text of one sentence is hidden as a whole. Raises ``DataError`` for fewer than two
    tokens."""
    ids = _row(tokens)
    pieces = rng.permutation(sentences(ids, sentence_ends))
    count = int(np.searchsorted(np.cumsum(pieces[:, 1] - pieces[:, 0]), rate * len(ids))) + 1
    return _blanked(ids, pieces[:count], rng, marks, marks.sentence_mask)


def hide_rest(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    marks: Marks,
    *,
    least: float = 0.5,
) -> Blanks:
    """Document level: the end of the text, of a length drawn evenly from ``least`` of it to all of it. Raises
    ``DataError`` for fewer than two tokens."""
    ids = _row(tokens)
    if not 0.0 < least <= 1.0:
        raise ConfigError("the least share to hide", received=least, expected="above 0 and at most 1")
    length = int(rng.integers(max(1, int(least * len(ids))), len(ids) + 1))
    return _blanked(ids, np.array([[len(ids) - length, len(ids)]]), rng, marks, marks.document_mask)


def blank_out(ids: np.ndarray, hidden: np.ndarray, rng: np.random.Generator, marks: Marks, mask_id: int) -> Blanks:
    """A text with every run of ``hidden`` tokens (``[length]`` booleans) a blank. Raises ``DataError`` where there is
    none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], hidden, [False]]).astype(np.int8)))
    if not len(edges):
        raise DataError("nothing of this text may be hidden", received=f"{len(ids)} tokens, all of them special")
    return _blanked(ids, edges.reshape(-1, 2), rng, marks, mask_id)


def with_contents(
    source: Sequence[int] | np.ndarray, contents: Sequence[Sequence[int] | np.ndarray], marks: Marks
) -> Blanks:
    """A text that has blanks, and what stands in the first of them, from left to right: to score it, or to go on.

    Blanks are written one after another: with an empty last content ``tokens`` ends with the start of the next blank,
    which is what the model continues. Raises ``DataError`` for more contents than blanks, or none.
    """
    ids = np.asarray(source)
    places = np.flatnonzero(np.isin(ids, [marks.mask, marks.sentence_mask, marks.document_mask]))
    if not 0 < len(contents) <= len(places):
        raise DataError("each content stands in a blank", received=f"{len(contents)} for {len(places)} blanks")
    return _written(ids, places[: len(contents)], [np.asarray(c, dtype=np.int64) for c in contents], marks)


def filled(blanks: Blanks, marks: Marks) -> np.ndarray:
    """The text again: every blank of part A replaced by what part B has for it."""
    contents: dict[int, list[int]] = {int(place): [] for place in blanks.positions}
    for place, token in zip(blanks.positions.tolist(), blanks.targets.tolist(), strict=True):
        if token != marks.end:
            contents[place].append(token)
    text: list[int] = []
    for place, token in enumerate(blanks.source.tolist()):
        text += contents.get(place, [token])
    return np.array(text if marks.begin is None else text[1:], dtype=np.int64)


def collate_blanks(rows: Sequence[Blanks]) -> BlankBatch:
    """A batch of these texts, filled up at the right."""
    source, source_lengths = padded([row.source for row in rows])
    tokens, lengths = padded([row.tokens for row in rows])
    rest = (padded([getattr(row, name) for row in rows])[0] for name in ("targets", "positions", "block_positions"))
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    return BlankBatch(source, source_lengths, tokens, *rest, mask=mask, lengths=lengths)


def _row(tokens: Sequence[int] | np.ndarray) -> np.ndarray:
    ids = np.asarray(tokens)
    if ids.ndim != 1 or len(ids) < 2:
        raise DataError("a text to make blanks in has at least two tokens", received=f"shape {list(ids.shape)}")
    return ids


def _blanked(ids: np.ndarray, spans: np.ndarray, rng: np.random.Generator, marks: Marks, mask_id: int) -> Blanks:
    """``spans`` ``[n, 2]`` (start, end) hidden, written in an order of chance."""
    spans = spans[np.argsort(spans[:, 0])]
    starts, ends = spans[:, 0], spans[:, 1]
    steps = np.zeros(len(ids) + 1, dtype=np.int64)  # 1 inside the spans, first tokens excepted
    np.add.at(steps, starts + 1, 1)
    np.add.at(steps, np.minimum(ends, len(ids)), -1)
    first = np.zeros(len(ids), dtype=bool)
    first[starts] = True
    kept = np.cumsum(steps)[:-1] <= 0
    begin = [] if marks.begin is None else [marks.begin]
    source = np.concatenate([np.array(begin, dtype=np.int64), np.where(first, mask_id, ids)[kept]])
    places = (np.cumsum(kept) - 1)[starts] + len(begin)
    order = rng.permutation(len(spans))
    return _written(source, places[order], [ids[starts[i] : ends[i]] for i in order], marks)


def _written(source: np.ndarray, places: np.ndarray, contents: Sequence[np.ndarray], marks: Marks) -> Blanks:
    """``contents`` in the blanks at ``places``, in that order."""
    sizes = np.array([len(content) + 1 for content in contents])
    return Blanks(
        source=source,
        tokens=np.concatenate([part for content in contents for part in ([marks.start], content)]),
        targets=np.concatenate([part for content in contents for part in (content, [marks.end])]),
        positions=np.repeat(places, sizes),
        block_positions=np.concatenate([np.arange(1, size + 1) for size in sizes]),
    )
