"""BART's corruption (Lewis et al. 2020, section 2.2): text infilling, and sentences in another order.

    text     the sun rose . they left early . nobody saw them .
    source   they [MASK] early . nobody [MASK] saw them . the [MASK] .
    target   the sun rose . they left early . nobody saw them .

A span may be empty: then a [MASK] stands where nothing is missing, so the model must find out how much each one hides.
What follows is a pure function of a row and its chance; special tokens around the text are the caller's. The loss is
that of any sequence to sequence: ``objectives/seq2seq.py``.
"""

from collections.abc import Collection, Sequence

import numpy as np

from trivium.errors import ConfigError, DataError


def denoise(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    mask_id: int,
    sentence_ends: Collection[int] = (),
    special_ids: Collection[int] = (),
    rate: float = 0.3,
    mean_span: float = 3.0,
) -> tuple[list[int], list[int]]:
    """Source and target of one text: the sentences are permuted, then spans replaced (both in the published models).

    ``sentence_ends`` are the ids that end a sentence ("full stops"); without any the order stays. ``special_ids``
    (ends of documents) are never hidden. Raises as ``infill_spans`` does.
    """
    ids = np.asarray(tokens)
    source = infill_spans(
        permute_sentences(ids, rng, sentence_ends),
        rng,
        mask_id=mask_id,
        special_ids=special_ids,
        rate=rate,
        mean_span=mean_span,
    )
    return source.tolist(), ids.tolist()


def permute_sentences(
    tokens: Sequence[int] | np.ndarray, rng: np.random.Generator, sentence_ends: Collection[int]
) -> np.ndarray:
    """The sentences in an order of chance, all orders alike. A sentence is what reaches up to one of
    ``sentence_ends``; what follows the last of them is one too."""
    ids = np.asarray(tokens)
    pieces = sentences(ids, sentence_ends)
    return np.concatenate([ids[start:end] for start, end in rng.permutation(pieces)]) if len(pieces) > 1 else ids.copy()


def sentences(tokens: np.ndarray, sentence_ends: Collection[int]) -> np.ndarray:
    """``[n, 2]``: where each sentence starts, and where the next one would."""
    ends = np.flatnonzero(np.isin(tokens, list(sentence_ends))) + 1
    edges = np.unique(np.concatenate([[0], ends, [len(tokens)]]))
    return np.stack([edges[:-1], edges[1:]], axis=1)


def infill_spans(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    mask_id: int,
    special_ids: Collection[int] = (),
    rate: float = 0.3,
    mean_span: float = 3.0,
) -> np.ndarray:
    """The text with spans replaced by one ``mask_id`` each; a span of no tokens is a ``mask_id`` put between two.

    Span lengths come from a Poisson distribution of ``mean_span``; the last one is cut so that exactly
    ``round(rate * tokens)`` tokens are hidden, of those that may be. Spans do not touch one another. Where the
    text is too short or too much broken up by ``special_ids`` for the spans, fewer or shorter ones are put.
    Raises ``DataError`` for a text without tokens, ``ConfigError`` for a rate or a mean that cannot be.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or not ids.size:
        raise DataError("a text to corrupt has at least one token", received=f"shape {list(ids.shape)}")
    if not 0.0 < rate < 1.0 or mean_span <= 0.0:
        raise ConfigError(
            "spans cannot be drawn so",
            received=f"rate {rate}, mean_span {mean_span}",
            expected="a rate between 0 and 1, and a mean above 0",
        )
    free = ~np.isin(ids, list(special_ids))
    lengths = _span_lengths(round(rate * int(free.sum())), mean_span, rng)
    hidden = place_spans(lengths[lengths > 0], free, rng)
    begins = hidden & ~np.concatenate([[False], hidden[:-1]])
    kept = np.where(begins, mask_id, ids)[begins | ~hidden]
    empty = int((lengths == 0).sum())
    return np.insert(kept, np.sort(rng.integers(0, len(kept) + 1, empty)), mask_id)


def place_spans(lengths: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``[length]`` booleans: spans of these lengths at places of chance, at least one other token between any two.

    With everything ``free`` all arrangements are alike: the order of the spans and the tokens between them are drawn.
    Where a span would cover what is not free it is cut there, and what is cut away stays. Spans that do not fit at all
    are left out, the last drawn first.
    """
    fitting = np.flatnonzero(np.cumsum(lengths + 1) <= len(free) + 1)
    spans = rng.permutation(lengths[: len(fitting)])
    between = len(free) - int(spans.sum()) - max(len(spans) - 1, 0)  # beside the one that must stand between two
    gaps = np.sort(rng.choice(between + len(spans), len(spans), replace=False)) - np.arange(len(spans))
    starts = gaps + np.cumsum(spans + 1) - spans - 1
    steps = np.zeros(len(free) + 1, dtype=np.int64)  # 1 where a span starts, -1 behind its end
    steps[starts] += 1
    steps[starts + spans] -= 1
    return (np.cumsum(steps)[:-1] > 0) & free


def _span_lengths(tokens: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Poisson lengths until they hide ``tokens``, the last one cut."""
    lengths = np.zeros(0, dtype=np.int64)
    while lengths.sum() < tokens:
        lengths = np.concatenate([lengths, rng.poisson(mean, max(1, round(tokens / mean)))])
    ends = np.cumsum(lengths)
    count = int(np.searchsorted(ends, tokens)) + 1 if tokens else 0
    lengths = lengths[:count]
    if count:
        lengths[-1] -= ends[count - 1] - tokens
    return lengths
