"""Remove paragraphs, lines or spans of sentences that the corpus had before, and those that stand on too many pages.

The corpus is read twice. The first time `digests` turns each document into one number a unit; `repeated` then decides
over the numbers of all documents in their order; the second time `without` cuts what was decided.

CCNet (Wenzek et al. 2020, section 3.1) removes lines seen before; C4 (Raffel et al. 2020, section 2.2) keeps "all but
one of any three-sentence span occurring more than once".
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trivium.data.dedup.exact import digest
from trivium.errors import ConfigError

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_NEW_LINE = re.compile(r"\n")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])(?:[\"'”’)\]]{0,3})\s+|(?<=[。！？])|\n\s*")
_NEVER = np.uint64(0)


@dataclass(frozen=True, kw_only=True)
class ParagraphConfig:
    """What is compared, and what goes."""

    unit: Literal["paragraph", "line", "sentences"] = "paragraph"
    """Paragraphs, which blank lines separate; lines, as CCNet; or spans of neighbouring sentences, as C4."""
    span_sentences: int = 3
    """Sentences in a span."""
    minimum_characters: int = 40
    """A shorter unit is never removed: "Chapter I" and "* * *" may come again."""
    boilerplate_documents: int = 10
    """A unit in so many documents is no text of any of them: the first one loses it too."""

    def __post_init__(self) -> None:
        if self.span_sentences < 1:
            raise ConfigError("span_sentences must be at least 1", received=self.span_sentences)
        if self.boilerplate_documents < 2:
            raise ConfigError("boilerplate_documents must be at least 2", received=self.boilerplate_documents)


def digests(text: str, config: ParagraphConfig) -> np.ndarray:
    """A number for each unit of ``text`` in its order, [units] uint64: equal up to case and white space. 0 if short."""
    pieces, span = _pieces(text, config), _span(config)
    starts = range(max(len(pieces) - span + 1, 0))
    units = [text[pieces[start][0] : pieces[start + span - 1][1]] for start in starts]
    found = [digest(unit, size=8) if len(unit) >= config.minimum_characters else bytes(8) for unit in units]
    return np.frombuffer(b"".join(found), dtype="<u8")


def repeated(found: np.ndarray, documents: np.ndarray, config: ParagraphConfig) -> np.ndarray:
    """Which units of the corpus go, [units] bool: those said before, and every one of the boilerplate.

    Args:
        found: the `digests` of all documents, one after the other, [units].
        documents: the number of the document of each, ascending, [units].
        config: the one that the digests were made with.
    """
    gone = np.zeros(len(found), dtype=bool)
    if not len(found):
        return gone
    order = np.argsort(found, kind="stable")
    ranked, owners = found[order], documents[order]
    new = np.r_[True, ranked[1:] != ranked[:-1]]
    begins = np.flatnonzero(new)
    holders = np.add.reduceat(new | np.r_[True, owners[1:] != owners[:-1]], begins, dtype=np.int64)
    boilerplate = np.repeat(holders >= config.boilerplate_documents, np.diff(np.r_[begins, len(order)]))
    gone[order] = (~new | boilerplate) & (ranked != _NEVER)
    return gone


def without(text: str, gone: np.ndarray, config: ParagraphConfig) -> str:
    """``text`` without the units at which ``gone`` [units] is True; all sentences of a span go with it."""
    if not gone.any():
        return text
    pieces, span = _pieces(text, config), _span(config)
    assert len(gone) == max(len(pieces) - span + 1, 0), "gone belongs to another text or another configuration"
    removed = {index + offset for index in np.flatnonzero(gone).tolist() for offset in range(span)}
    # A piece keeps the white space that follows it, so that what is left reads as it did.
    ends = [start for start, _ in pieces[1:]] + [len(text)]
    head = text[: pieces[0][0]]
    kept = [text[pieces[i][0] : ends[i]] for i in range(len(pieces)) if i not in removed]
    return (head + "".join(kept)).rstrip() if len(pieces) - 1 in removed else head + "".join(kept)


def _span(config: ParagraphConfig) -> int:
    return config.span_sentences if config.unit == "sentences" else 1


def _pieces(text: str, config: ParagraphConfig) -> list[tuple[int, int]]:
    """Where each paragraph, line or sentence begins and ends; white space alone is none."""
    separator = {"paragraph": _BLANK_LINES, "line": _NEW_LINE, "sentences": _SENTENCE_END}[config.unit]
    begin, found = 0, []
    for match in separator.finditer(text):
        found.append((begin, match.start()))
        begin = match.end()
    found.append((begin, len(text)))
    return [(begin, end) for begin, end in found if text[begin:end].strip()]
