"""Hold text out for validation such that the figure means something.

The unit of splitting is the group (a module, a file), never the document: neighbours in one module repeat each other's
sentences. On the documentation of the standard library, 35 % of the validation tokens of a split by document lie in
runs of eight words that were also trained on. Which side a group falls on is a hash of its name, so it does not change
when other text is added. Where near-copies were looked for, all groups that share one fall on the same side. What the
sides still share, mostly copied paragraphs, is then removed from validation.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trivium.data.dedup.clusters import components
from trivium.data.dedup.shingles import runs, word_numbers
from trivium.data.documents import Document
from trivium.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Documents to train on and documents to measure with."""

    train: list[Document]
    """To train on, the vocabulary included."""
    validation: list[Document]
    """Never trained on."""
    by: str
    """"group" or "cluster", or "tail" where there were too few of them."""


def is_held_out(group: str, fraction: float) -> bool:
    """Whether a group belongs to validation: a fixed number in [0, 1) from its name, compared with ``fraction``."""
    digest = hashlib.blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8, person=b"trivium split").digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


def split_by_group(documents: Iterable[Document], fraction: float) -> Split:
    """Hold out the groups that `is_held_out` names."""
    train: list[Document] = []
    validation: list[Document] = []
    for document in documents:
        (validation if is_held_out(document.group, fraction) else train).append(document)
    return Split(train=train, validation=validation, by="group")


def sides(groups: Sequence[str], clusters: np.ndarray, fraction: float) -> np.ndarray:
    """Which documents belong to validation, such that neither a group nor a cluster of near-copies has both sides.

    Groups that share a cluster are one, under the name that sorts first: that name decides, as in `is_held_out`. A
    group without near-copies in others falls as it would without clusters, whatever else is in the corpus and in
    whichever order.

    Args:
        groups: the group of each document, [N].
        clusters: for each document the index of the first of its cluster, [N], as `dedup.lsh.clusters` gives it.
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


def split_by_cluster(documents: Sequence[Document], clusters: np.ndarray, fraction: float) -> Split:
    """Hold out the documents that `sides` names."""
    held = sides([document.group for document in documents], clusters, fraction).tolist()
    return Split(
        train=[document for document, out in zip(documents, held, strict=True) if not out],
        validation=[document for document, out in zip(documents, held, strict=True) if out],
        by="cluster",
    )


def split_by_tail(documents: Iterable[Document], fraction: float) -> Split:
    """Hold out the last ``fraction`` of the characters of every document: for a single book, or a few."""
    train: list[Document] = []
    validation: list[Document] = []
    for document in documents:
        cut = int(len(document.text) * (1 - fraction))
        train.append(replace(document, text=document.text[:cut]))
        validation.append(replace(document, text=document.text[cut:]))
    return Split(train=[d for d in train if d.text], validation=[d for d in validation if d.text], by="tail")


def split(documents: Sequence[Document], fraction: float, *, by: str = "auto") -> Split:
    """Hold out about ``fraction`` of the text.

    Args:
        documents: all of them.
        fraction: in (0, 1).
        by: "group"; "tail"; or "auto", which is by group unless the groups are so few or so unequal that validation
            would get less than half or more than twice its share, and then by tail.

    Raises:
        DataError: one side would be empty.
    """
    result = split_by_group(documents, fraction) if by != "tail" else split_by_tail(documents, fraction)
    if by == "auto":
        whole = sum(len(document.text) for document in documents)
        held = sum(len(document.text) for document in result.validation)
        if not fraction / 2 <= held / max(whole, 1) <= min(2 * fraction, (1 + fraction) / 2):
            result = split_by_tail(documents, fraction)
    if not result.train or not result.validation:
        raise DataError(
            "there is too little text to hold any out",
            received=f"{len(documents)} documents; train {len(result.train)}, validation {len(result.validation)}",
            expected="at least one document on each side",
            fix='give more text, or set split to "tail"',
        )
    return result


def remove_leaks(split: Split, *, words: int = 8, threshold: float = 0.5) -> tuple[Split, list[tuple[Document, float]]]:
    """Take out of validation what training has nearly word for word.

    A validation document goes when at least ``threshold`` of its words lie in runs of ``words`` words that training
    also has; case and punctuation make no difference. Shorter documents are compared whole.

    Returns:
        The split without them, and each removed document with its share of repeated words.
    """
    trained = [word_numbers(document.text) for document in split.train]
    known = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *(runs(ids, words) for ids in trained)]))
    short = {tuple(ids.tolist()) for ids in trained if len(ids) < words}
    kept: list[Document] = []
    removed: list[tuple[Document, float]] = []
    for document in split.validation:
        ids = word_numbers(document.text)
        share = _repeated_share(ids, known, words) if len(ids) >= words else float(tuple(ids.tolist()) in short)
        if share >= threshold:
            removed.append((document, share))
        else:
            kept.append(document)
    return replace(split, validation=kept), removed


def _repeated_share(ids: np.ndarray, known: np.ndarray, words: int) -> float:
    """The share of words that lie in a run that is in ``known`` (sorted)."""
    found = runs(ids, words)
    place = np.minimum(np.searchsorted(known, found), max(len(known) - 1, 0))
    hits = np.flatnonzero(known[place] == found) if len(known) else np.zeros(0, dtype=np.int64)
    covered = np.zeros(len(ids) + 1, dtype=np.int64)
    np.add.at(covered, hits, 1)
    np.add.at(covered, hits + words, -1)
    return float((np.cumsum(covered[:-1]) > 0).mean())
