"""What can only be decided over the whole corpus: which documents are copies, and which are held out.

Nothing here holds the text: digests, signatures and a few facts of each document are read from the units, about 200
bytes a document, and signatures are mapped from a file.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from trivium.data import spool
from trivium.data.balance import By
from trivium.data.dedup import exact, lsh, paragraphs, substrings
from trivium.data.documents import Document
from trivium.data.funnel import Funnel
from trivium.data.licences import UNKNOWN
from trivium.data.pieces import head
from trivium.data.splits import BOTH, REMOVED, TRAIN, VALIDATION, SplitBy, hold_out, repeated_shares
from trivium.data.tasks import CUT, PASSAGES, READ, DuplicatesConfig, Unit
from trivium.errors import DataError

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
        self.num_bytes = np.array([row[0] for row in rows], dtype=np.int64)
        self.groups: list[str] = [row[1] for row in rows]
        # Few values, each many times.
        self.origins: list[str] = [sys.intern(row[2]) for row in rows]
        self._languages, self._labels = ([sys.intern(row[n] or UNKNOWN) for row in rows] for n in (3, 4))
        self.fates = np.full(len(rows), TRAIN, dtype=np.uint8)
        self.clusters = np.arange(len(rows))
        self.state = READ
        """Which of a unit's files hold the texts as they are by now: never a later one, which a killed process left."""

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
        removed = self.fates == REMOVED
        self.fates, found = hold_out(self.groups, self.clusters, self.num_bytes, fraction, by, removed=removed)
        return found

    def remove_leaks(self, threshold: float, funnel: Funnel) -> None:
        """Marks held-out documents that training has nearly word for word: ``threshold`` of their words, or more.

        Raises:
            DataError: nothing is left to validate on.
        """
        held = np.flatnonzero(self.fates == VALIDATION)
        if not len(held) or threshold > 1:
            return
        shares = repeated_shares(self._texts(VALIDATION), self._texts(TRAIN))
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

    def take_cut(self, funnel: Funnel) -> None:
        """Goes on with the texts that the tasks have cut, and tells what they cut."""
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            report = spool.read_json(unit.file("cut.json"))
            funnel.add(Funnel.from_json(report["funnel"]))
            self._are_now(begin, end, report["bytes"])
        self.state = CUT

    def cut_passages(self, characters: int, funnel: Funnel) -> None:
        """Writes the units without passages of ``characters`` that were said before. Holds all the text."""
        documents = [list(spool.read_documents(unit.file(self.state))) for unit in self.units]
        flat = [document for some in documents for document in some]
        texts = ["" if fate == REMOVED else d.text for d, fate in zip(flat, self.fates.tolist(), strict=True)]
        after = substrings.without_repeated(texts, characters=characters)
        funnel.step("repeated passage")
        for unit, some, (begin, end) in zip(self.units, documents, self._slices(), strict=True):
            alive = (self.fates[begin:end] != REMOVED).tolist()
            cut = [
                funnel.cut("repeated passage", document, text) if lives else document
                for document, text, lives in zip(some, after[begin:end], alive, strict=True)
            ]
            spool.write_documents(unit.file(PASSAGES), cut)
            self._are_now(begin, end, [document.num_bytes for document in cut])
        self.state = PASSAGES

    def save_fates(self) -> None:
        """Writes for each unit what becomes of its documents: once, when all is decided."""
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            spool.write_array(unit.file("fate"), self.fates[begin:end])

    def trained_bytes(self, by: By) -> dict[str, int]:
        """The bytes to train on of each source, language, label or group."""
        values = {"source": self.origins, "language": self._languages, "label": self._labels, "group": self.groups}
        sizes: Counter[str] = Counter()
        for name, size, fate in zip(values[by], self.num_bytes.tolist(), self.fates.tolist(), strict=True):
            if fate in (TRAIN, BOTH):
                sizes[name] += size
        return dict(sizes)

    def texts(self, tail: float, most_bytes: int | None = None) -> Iterator[str]:
        """The text that is trained on: of documents on both sides the part before the last ``tail``.

        With ``most_bytes`` about so much of it, in whole documents drawn evenly from all over it.
        """
        share = 1.0
        if most_bytes is not None:
            trained = np.isin(self.fates, (TRAIN, BOTH))
            share = min(1.0, most_bytes / max(int(self.num_bytes[trained].sum()), 1))
        seen = taken = 0
        for fate in (TRAIN, BOTH):
            for text in self._texts(fate):
                size = len(text)
                if taken <= share * seen:
                    taken += size
                    yield text if fate == TRAIN else head(text, tail)
                seen += size

    # Inside ------------------------------------------------------------------------------------------------------

    def _texts(self, fate: int) -> Iterator[str]:
        """The texts of the documents with this fate."""
        for unit, (begin, end) in zip(self.units, self._slices(), strict=True):
            if (self.fates[begin:end] == fate).any():
                for document, its in unit.kept(self.state, self.fates[begin:end]):
                    if its == fate:
                        yield document.text

    def _are_now(self, begin: int, end: int, num_bytes: Sequence[int]) -> None:
        """Texts were cut: those of which nothing is left are removed, as the funnel was told."""
        self.num_bytes[begin:end] = num_bytes
        self.fates[begin:end][self.num_bytes[begin:end] == 0] = REMOVED

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
        found = spool.read_documents(self.units[unit].file(self.state))
        return next(islice(found, index - int(self._starts[unit]), None))

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
