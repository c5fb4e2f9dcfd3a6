"""Hold text out for validation such that the figure means something.

The unit of splitting is the group (a module, a file), never the document: neighbours in one module repeat each other's
sentences. On the documentation of the standard library, 35 % of the validation tokens of a split by document lie in
runs of eight words that were also trained on. Which side a group falls on is a hash of its name, so it does not change
when other text is added. Where near-copies were looked for, all groups that share one fall on the same side. What the
sides still share, mostly copied paragraphs, is then removed from validation.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from trivium.data.dedup.clusters import components
from trivium.data.dedup.shingles import runs, word_numbers
from trivium.errors import DataError

TRAIN, VALIDATION, BOTH, REMOVED = range(4)
"""What becomes of a document. Of one on both sides the end is held out."""

SplitBy = Literal["auto", "group", "cluster", "tail"]
"""What is held out: whole groups, whole groups with all that nearly repeats them, or the end of every document."""

RUN_WORDS = 8
"""So many words in a row are repeated, and not just usual."""


def is_held_out(group: str, fraction: float) -> bool:
    """Whether a group belongs to validation: a fixed number in [0, 1) from its name, compared with ``fraction``."""
    return turn(group) < fraction * 2**64


def turn(group: str) -> int:
    """A fixed number below 2^64 from the name of a group: the higher the fraction, the more are held out, by this."""
    digest = hashlib.blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8, person=b"trivium split").digest()
    return int.from_bytes(digest, "little")


def sides(groups: Sequence[str], clusters: np.ndarray, fraction: float) -> np.ndarray:
    """Which documents belong to validation, such that neither a group nor a cluster of near-copies has both sides.

    Groups that share a cluster are one, under the name that sorts first: that name decides, as in `is_held_out`. A
    group without near-copies in others falls as it would without clusters, whatever else is in the corpus and in
    whichever order.

    Args:
        groups: the group of each document, [N].
        clusters: for each document the index of the first of its cluster, [N], as `dedup.lsh.clusters` gives it; where
            nobody looked for near-copies, each document its own.
        fraction: the share of the groups that is held out, in (0, 1). Clusters that hang many groups together make the
            share of the text less certain.

    Returns:
        True where a document is held out, [N] bool.
    """
    assert len(groups) == len(clusters), "a cluster for each document"
    names = sorted(set(groups))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = np.fromiter((number_of[group] for group in groups), dtype=np.int64, count=len(groups))
    # The smallest number of a component is the name that sorts first.
    first = components(len(names), numbers, numbers[clusters])
    held = np.fromiter((is_held_out(name, fraction) for name in names), dtype=bool, count=len(names))
    return held[first[numbers]]


def hold_out(
    groups: Sequence[str],
    clusters: np.ndarray,
    num_bytes: np.ndarray,
    fraction: float,
    by: SplitBy = "auto",
    *,
    removed: np.ndarray | None = None,
) -> tuple[np.ndarray, str]:
    """What becomes of each document so that about ``fraction`` of the bytes is held out, and by what it was split.

    "auto" is by cluster, or by group where there are no near-copies, unless the groups are so few or so unequal that
    validation would get less than half or more than twice its share, and then by tail.

    Args:
        groups, clusters: as `sides` takes them, [N].
        num_bytes: of each text, [N].
        fraction: in (0, 1).
        by: what to hold out.
        removed: documents that are in the corpus no more, [N] bool; they still hang groups together. None: all are.

    Returns:
        TRAIN, VALIDATION, BOTH or REMOVED for each document, [N] uint8; and "cluster", "group" or "tail".

    Raises:
        DataError: one side would be empty.
    """
    left = np.ones(len(groups), dtype=bool) if removed is None else ~removed
    kind = by if by != "auto" else "cluster" if len(np.unique(clusters)) < len(groups) else "group"
    held = sides(groups, clusters if kind == "cluster" else np.arange(len(groups)), fraction)
    if by == "auto":
        share = num_bytes[left & held].sum() / max(num_bytes[left].sum(), 1)
        # Too few groups, or too unequal ones: one file, or two. Then the end of each is held out.
        if not fraction / 2 <= share <= min(2 * fraction, (1 + fraction) / 2):
            kind = "tail"
    fates = np.full(len(groups), REMOVED, dtype=np.uint8)
    fates[left] = BOTH if kind == "tail" else np.where(held[left], VALIDATION, TRAIN)
    counts = Counter(fates[left].tolist())
    has_head = bool((num_bytes[left] * (1 - fraction) >= 1).any())  # the first part of a text of one letter is empty
    if not (has_head if kind == "tail" else counts[TRAIN] and counts[VALIDATION]):
        raise DataError(
            "there is too little text to hold any out",
            received=f"{int(left.sum())} documents; train {counts[TRAIN]}, validation {counts[VALIDATION]}",
            expected="at least one document on each side",
            fix='give more text, or set split to "tail"',
        )
    return fates, kind


def repeated_shares(held_out: Iterable[str], trained: Iterable[str], *, words: int = RUN_WORDS) -> np.ndarray:
    """Of each held-out text the share of its words that lie in runs of ``words`` that a trained text also has.

    Case and punctuation make no difference; a shorter text is compared whole. The memory it takes is that of the
    held-out texts: training is read past them.

    Returns:
        Shares in [0, 1], in the order of ``held_out``, which is read before ``trained``.
    """
    numbers = [word_numbers(text) for text in held_out]
    found = [runs(each, words) for each in numbers]
    known = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *found]))
    seen = np.zeros(len(known) + 1, dtype=bool)
    # Nearly all runs of training are unknown: most are found out by their first bits, which spares searching for them.
    shift = np.uint64(64 - max(16, (8 * len(known)).bit_length()))
    begun = np.zeros(1 << (64 - int(shift)), dtype=bool)
    begun[known >> shift] = True
    short: set[bytes] = set()
    for each in map(word_numbers, trained):
        if len(each) < words:
            short.add(each.tobytes())
        elif len(known):
            run = runs(each, words)
            run = run[begun[run >> shift]]
            place = np.minimum(np.searchsorted(known, run), len(known) - 1)
            seen[place[known[place] == run]] = True
    return np.array(
        [
            _covered(seen[np.searchsorted(known, run)], len(each), words)
            if len(each) >= words
            else float(each.tobytes() in short)
            for each, run in zip(numbers, found, strict=True)
        ]
    )


def _covered(hits: np.ndarray, words: int, length: int) -> float:
    """The share of ``words`` that lie in a run of ``length`` at which ``hits`` is True."""
    starts = np.flatnonzero(hits)
    covered = np.zeros(words + 1, dtype=np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + length, -1)
    return float((np.cumsum(covered[:-1]) > 0).mean())
