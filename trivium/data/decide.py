"""What can only be decided over the whole corpus: which documents are copies, and which are held out.

Nothing here holds the text: digests, signatures and a few facts of each document are read from the units, about 200
bytes a document, and signatures are mapped from a file.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from trivium.data import spool
from trivium.data.dedup import exact, lsh, paragraphs, substrings
from trivium.data.dedup.shingles import runs, word_numbers
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.splits import is_held_out, sides
from trivium.data.tasks import BOTH, REMOVED, TRAIN, VALIDATION, DuplicatesConfig, Unit
from trivium.errors import DataError

SplitBy = Literal["auto", "group", "cluster", "tail"]
_EXAMPLES = 5


class Corpus:
    """The documents that the rules kept, in the order of the units, and what becomes of each."""

    def __init__(self, work: Path, count: int):
        """``count`` units in the folder ``work`` were read."""
        self.units = [Unit(work, number) for number in range(count)]
        self._work = work
        reports = [spool.read_json(unit.file("read.json")) for unit in self.units]
        rows = [row for report in reports for row in report["documents"]]
        self._starts = np.concatenate([[0], np.cumsum([len(report["documents"]) for report in reports])]).astype(int)
        self.groups: list[str] = [row[0] for row in rows]
        self.origins: list[str] = [row[1] for row in rows]
        self.num_bytes = np.array([row[2] for row in rows], dtype=np.int64)
        self.fates = np.full(len(rows), TRAIN, dtype=np.uint8)
        self.clusters = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.groups)

    def remove_duplicates(self, config: DuplicatesConfig, funnel: Funnel) -> None:
        """Marks copies, exact ones and near ones, of an earlier document."""
        if config.exact:
            first = exact.first_equal(self._array("digests"))
            self._remove("duplicate", np.flatnonzero(first != np.arange(len(self))), first, "repeats", funnel)
        if config.near:
            self.clusters = lsh.clusters(self._mapped("signatures", config.minhash.entries), config.minhash)
            copies = (self.clusters != np.arange(len(self))) & (self.fates != REMOVED)
            self._remove("near-duplicate", np.flatnonzero(copies), self.clusters, "nearly repeats", funnel)

    def hold_out(self, fraction: float, by: SplitBy) -> str:
        """Marks what is held out, about ``fraction`` of the bytes; returns by what.

        Raises:
            DataError: one side would be empty.
        """
        left = self.fates != REMOVED
        if by == "auto":
            by = "cluster" if len(np.unique(self.clusters)) < len(self) else "group"
            held = self._held(fraction, by)
            share = self.num_bytes[left & held].sum() / max(self.num_bytes[left].sum(), 1)
            # Too few groups, or too unequal ones: one file, or two. Then the end of each is held out.
            if not fraction / 2 <= share <= min(2 * fraction, (1 + fraction) / 2):
                by = "tail"
        held = self._held(fraction, by)
        self.fates[left] = np.where(held[left], VALIDATION, TRAIN) if by != "tail" else BOTH
        counts = Counter(self.fates[left].tolist())
        if (by != "tail" and not (counts[TRAIN] and counts[VALIDATION])) or not left.any():
            raise DataError(
                "there is too little text to hold any out",
                received=f"{int(left.sum())} documents; train {counts[TRAIN]}, validation {counts[VALIDATION]}",
                expected="at least one document on each side",
                fix='give more text, or set split to "tail"',
            )
        return by

    def remove_leaks(self, threshold: float, funnel: Funnel, *, words: int = 8) -> None:
        """Marks held-out documents that training has nearly word for word.

        One goes when at least ``threshold`` of its words lie in runs of ``words`` words that training also has; case
        and punctuation make no difference. Shorter documents are compared whole. The memory it takes is that of the
        held-out text: training is read past it.

        Raises:
            DataError: nothing is left to validate on.
        """
        held = np.flatnonzero(self.fates == VALIDATION)
        if not len(held) or threshold > 1:
            return
        numbers = [word_numbers(document.text) for document, side in self._kept() if side == VALIDATION]
        shares = self._shares(numbers, words)
        leaked = held[shares >= threshold]
        of = {int(index): f"{share:.0%} of its words" for index, share in zip(held, shares, strict=True)}
        self._remove("near-duplicate of training", leaked, of, "", funnel)
        if len(leaked) == len(held):
            raise DataError(
                "nothing is left to validate on: every held-out document nearly repeats one that is trained on",
                received=f"{len(leaked)} documents removed",
                fix="hold out more with validation_fraction, or raise leak_threshold",
            )

    def mark_paragraphs(self, config: paragraphs.ParagraphConfig) -> None:
        """Writes for each unit which paragraphs go; documents that are gone already count for nothing."""
        found, counts = self._array("units"), self._array("counts")
        owners = np.repeat(np.arange(len(self)), counts)
        alive = self.fates[owners] != REMOVED
        gone = np.zeros(len(found), dtype=bool)
        gone[alive] = paragraphs.repeated(found[alive], owners[alive], config)
        ends = np.concatenate([[0], np.cumsum(counts)])
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            spool.write_array(unit.file("gone"), gone[ends[begin] : ends[end]])

    def cut_passages(self, characters: int, funnel: Funnel) -> None:
        """Rewrites the units without passages of ``characters`` that were said before. Holds all the text."""
        documents = [list(unit.documents()) for unit in self.units]
        flat = [document for some in documents for document in some]
        texts = ["" if fate == REMOVED else d.text for d, fate in zip(flat, self.fates.tolist(), strict=True)]
        after = iter(substrings.without_repeated(texts, characters=characters))
        funnel.step("repeated passage")
        for unit, some in zip(self.units, documents, strict=True):
            cut = []
            for document in some:
                text = next(after)
                new = replace(document, text=text if text.strip() else "")
                if new.text and new.text != document.text:
                    funnel.change("repeated passage", document, new)
                cut.append(new)
            spool.write_documents(unit.file("cut.jsonl"), cut)

    def save_fates(self) -> None:
        """Writes for each unit what becomes of its documents."""
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            spool.write_array(unit.file("fate"), self.fates[begin:end])

    def texts(self, tail: float) -> Iterator[str]:
        """The text that is trained on: of documents on both sides the part before the last ``tail``."""
        for document, side in self._kept():
            if side == TRAIN:
                yield document.text
            elif side == BOTH:
                yield document.text[: int(len(document.text) * (1 - tail))]

    # Inside ------------------------------------------------------------------------------------------------------

    def _kept(self) -> Iterator[tuple[Document, int]]:
        self.save_fates()
        for unit in self.units:
            yield from unit.kept()

    def _held(self, fraction: float, by: SplitBy) -> np.ndarray:
        if by == "cluster":
            return sides(self.groups, self.clusters, fraction)
        held = {group: is_held_out(group, fraction) for group in set(self.groups)}
        return np.fromiter((held[group] for group in self.groups), dtype=bool, count=len(self))

    def _shares(self, numbers: Sequence[np.ndarray], words: int) -> np.ndarray:
        """Of each held-out document the share of its words that training has in runs."""
        found = [runs(each, words) for each in numbers]
        known = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *found]))
        seen = np.zeros(len(known) + 1, dtype=bool)
        short: set[bytes] = set()
        for text in (document.text for document, side in self._kept() if side == TRAIN):
            trained = word_numbers(text)
            if len(trained) < words:
                short.add(trained.tobytes())
            elif len(known):
                run = runs(trained, words)
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

    def _remove(
        self, stage: str, indices: np.ndarray, of: np.ndarray | dict[int, str], verb: str, funnel: Funnel
    ) -> None:
        """Marks documents; `of` is the document that each repeats, or the reason itself."""
        self.fates[indices] = REMOVED
        shown = indices[:_EXAMPLES].tolist()
        if isinstance(of, dict):
            reasons = [of[index] for index in shown]
        else:
            reasons = [f"{verb} {self._document(int(of[index])).id}" for index in shown]
        funnel.remove_all(
            stage,
            bytes=int(self.num_bytes[indices].sum()),
            sources=dict(sorted(Counter(self.origins[index] for index in indices.tolist()).items())),
            examples=[(self._document(index), reason) for index, reason in zip(shown, reasons, strict=True)],
        )

    def _document(self, index: int) -> Document:
        unit = int(np.searchsorted(self._starts, index, side="right")) - 1
        return next(islice(self.units[unit].documents(), index - int(self._starts[unit]), None))

    def _slices(self) -> list[tuple[int, int]]:
        return list(zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True))

    def _array(self, kind: str) -> np.ndarray:
        return np.concatenate([spool.read_array(unit.file(kind)) for unit in self.units])

    def _mapped(self, kind: str, columns: int) -> np.ndarray:
        """The rows of all units in one file, mapped."""
        path = self._work / kind
        if not len(self):  # nothing cannot be mapped
            return np.zeros((0, columns), dtype=np.uint32)
        whole = np.memmap(path, mode="w+", dtype=np.uint32, shape=(len(self), columns))
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            whole[begin:end] = spool.read_array(unit.file(kind))
        whole.flush()
        return whole


def _covered(hits: np.ndarray, words: int, length: int) -> float:
    """The share of ``words`` that lie in a run of ``length`` at which ``hits`` is True."""
    starts = np.flatnonzero(hits)
    covered = np.zeros(words + 1, dtype=np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + length, -1)
    return float((np.cumsum(covered[:-1]) > 0).mean())
