"""Span corruption (Raffel et al. 2020, section 3.1.4): dropped spans are to be written out after their sentinels.

    text     Thank you for inviting me to your party last week
    source   Thank you <X> me to your party <Y> week
    target   <X> for inviting <Y> last <Z>

The loss is that of any sequence to sequence: ``objectives/seq2seq.py``.
"""

import bisect
import math
from collections.abc import Sequence

import numpy as np

from trivium.errors import ConfigError, DataError


def corrupt_spans(
    tokens: Sequence[int] | np.ndarray,
    sentinels: Sequence[int],
    rng: np.random.Generator,
    *,
    rate: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[list[int], list[int]]:
    """Source and target of one text.

    About ``rate`` of the tokens are dropped in spans of ``mean_span`` on average; span ``i`` is replaced by
    ``sentinels[i]``, and one more sentinel ends the target. The text begins with something kept.
    Raises ``DataError`` for a text of fewer than two tokens or with more spans than sentinels allow, ``ConfigError``
    for a ``rate`` or ``mean_span`` that cannot be.
    """
    ids = checked(tokens)
    return drop_spans(ids, span_mask(ids.shape[0], rng, rate=rate, mean_span=mean_span), sentinels)


def checked(tokens: Sequence[int] | np.ndarray) -> np.ndarray:
    """The ids of a text that something can be dropped from and something kept of; ``DataError`` for a shorter one."""
    ids = np.asarray(tokens)
    if ids.ndim != 1 or ids.shape[0] < 2:
        raise DataError("a text to corrupt has at least two tokens", received=f"shape {list(ids.shape)}")
    return ids


def drop_spans(tokens: np.ndarray, dropped: np.ndarray, sentinels: Sequence[int]) -> tuple[list[int], list[int]]:
    """Source and target of a text, of which ``dropped`` says what is to be written out; its first token is kept, its
    last is not. Raises ``DataError`` where it has more spans than sentinels allow."""
    edges = np.flatnonzero(np.diff(dropped)) + 1  # kept, dropped, kept, ..., dropped
    pieces = np.split(tokens, edges)
    spans = len(pieces) // 2
    if spans + 1 > len(sentinels):
        raise DataError(
            "the text has more spans than there are sentinels",
            received=f"{spans} spans, {len(sentinels)} sentinels",
            fix="shorten the text, lower the rate or lengthen mean_span",
        )
    source: list[int] = []
    target: list[int] = []
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            source += piece.tolist()
        else:
            source.append(sentinels[index // 2])
            target += [sentinels[index // 2], *piece.tolist()]
    target.append(sentinels[spans])
    return source, target


def span_mask(length: int, rng: np.random.Generator, *, rate: float, mean_span: float) -> np.ndarray:
    """``[length]`` booleans, true = dropped: kept and dropped spans alternate, a kept one first.

    The number of dropped tokens and of spans is fixed by ``length``; where the spans are cut is random
    (uniform over all ways to cut), as in T5's ``random_spans_noise_mask``.
    """
    dropped, spans = counts(length, rate=rate, mean_span=mean_span)
    lengths = np.stack([_cut(length - dropped, spans, rng), _cut(dropped, spans, rng)], axis=1).reshape(-1)
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def counts(length: int, *, rate: float, mean_span: float) -> tuple[int, int]:
    """How many tokens of a text are dropped, and in how many spans: it leaves ``length - dropped + spans`` in the
    source and puts ``dropped + spans + 1`` into the target. ``ConfigError`` for a rate that is no share, or no span."""
    if not 0.0 < rate < 1.0:
        raise ConfigError("rate is the share of tokens to drop", received=rate, expected="above 0 and below 1")
    if not 1.0 <= mean_span < math.inf:
        raise ConfigError("mean_span is a number of tokens", received=mean_span, expected="at least 1")
    dropped = min(max(round(length * rate), 1), length - 1)
    spans = max(round(dropped / mean_span), 1)
    return dropped, min(spans, dropped, length - dropped)


def raw_tokens(context_tokens: int, *, rate: float = 0.15, mean_span: float = 3.0) -> int:
    """The longest text whose source fits into ``context_tokens``, an end token included: texts are cut so long, and
    no row has room left over. T5's ``compute_input_and_target_lengths``: 568 tokens for 512.

    Raises ``ConfigError`` for fewer than 4 tokens: there must be room for a token, a sentinel and the end.
    """
    if context_tokens < 4:
        raise ConfigError("too few tokens to corrupt a text in", received=context_tokens, expected="at least 4")

    def source_tokens(length: int) -> int:
        dropped, spans = counts(length, rate=rate, mean_span=mean_span)
        return length - dropped + spans + 1

    # The source never shrinks as the text grows, and what is kept of the longest fits into it.
    lengths = range(2, math.ceil(context_tokens / (1 - rate)) + 2)
    return lengths[bisect.bisect_right(lengths, context_tokens, key=source_tokens) - 1]


def fill_spans(source: Sequence[int], target: Sequence[int], sentinels: Sequence[int]) -> list[int]:
    """The text again: every sentinel in ``source`` replaced by what follows it in ``target``."""
    known = set(sentinels)
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in target:
        if token in known:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    text: list[int] = []
    for token in source:
        text += spans.get(token, []) if token in known else [token]
    return text


def _cut(items: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths of ``parts`` non-empty parts of ``items``, uniform over all ways to cut."""
    cuts = np.sort(rng.choice(items - 1, parts - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=items)
