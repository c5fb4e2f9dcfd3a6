"""Texts that hold a listed word, such as those of C4's list (Raffel et al. 2020, section 2.2).

A word of the list matches whole words only, in any case: "ass" is not found in "class". Words in scripts that put no
spaces between words match anywhere. A list says nothing of how a word is meant, and such lists are known to remove
texts by and about minorities more than others (Dodge et al. 2021, "Documenting Large Webtext Corpora"): look at the
funnel before believing one.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from trivium.data.quality.limits import KEEP, Verdict
from trivium.data.quality.words import UNSPACED, UNSPACED_RANGES
from trivium.errors import DataError

COMMON_IN_UNSPACED = frozenset({"グロ", "女の子", "性"})
"""Entries of C4's lists that are parts of common words: each would remove over 10 % of all Japanese or Chinese texts,
so C4's own code leaves them out (`c4_utils.py` of TensorFlow Datasets). Its "sm" needs no exception: it is matched as a
whole word here."""


def _ranges_of_marks() -> str:
    """Combining marks, as the ranges of a character class: part of a word in Indic scripts, but not of `\\w`."""
    marks = [chr(point) for point in range(0x300, 0xAC00) if unicodedata.category(chr(point)) in ("Mn", "Mc")]
    return "".join(marks) + "\u200c\u200d"


_WORD = re.compile(rf"[{UNSPACED_RANGES}]|(?:[^\W{UNSPACED_RANGES}]|[{_ranges_of_marks()}])+|[^\w\s]")


class Blocklist:
    """A list of words and phrases, ready to be looked for."""

    def __init__(self, words: Iterable[str]):
        """The ``words``, each a word or a phrase of several, in any case."""
        self._phrases: dict[str, list[tuple[str, ...]]] = {}
        anywhere: list[str] = []
        for word in sorted({_normal(word).strip() for word in words} - {""}, key=lambda word: (-len(word), word)):
            if UNSPACED.search(word):
                anywhere.append(word)
            else:
                parts = tuple(_WORD.findall(word))
                self._phrases.setdefault(parts[0], []).append(parts)
        self._anywhere = re.compile("|".join(map(re.escape, anywhere))) if anywhere else None

    def find(self, text: str) -> str | None:
        """A listed word or phrase that ``text`` holds, in lower case, or None. Linear in the text."""
        lowered = _normal(text)
        return self._find_phrase(_WORD.findall(lowered)) or self._find_anywhere(lowered)

    def _find_phrase(self, words: Sequence[str]) -> str | None:
        if self._phrases.keys().isdisjoint(words):
            return None
        for place, word in enumerate(words):
            for parts in self._phrases.get(word, ()):
                if tuple(words[place : place + len(parts)]) == parts:
                    return " ".join(parts)
        return None

    def _find_anywhere(self, lowered: str) -> str | None:
        match = self._anywhere.search(lowered) if self._anywhere else None
        return match.group() if match else None


def judge(text: str, blocklist: Blocklist) -> Verdict:
    """Whether ``text`` holds a listed word; the detail names it, masked in the middle."""
    word = blocklist.find(text)
    return KEEP if word is None else Verdict(rule="blocklist", detail=mask(word))


def mask(word: str) -> str:
    """``word`` with all but the first and last character as asterisks; of one or two, the first is left."""
    return word[:1] + "*" * max(len(word) - 2, 1) + (word[-1] if len(word) > 2 else "")


@lru_cache(maxsize=8)
def load_blocklist(paths: tuple[str, ...]) -> Blocklist:
    """The words of several files, one word or phrase a line; blank lines and those that begin with ``# `` are skipped.

    The entries of `COMMON_IN_UNSPACED` are left out. A process reads the same files once.

    Raises:
        DataError: a file that is missing, unreadable, not UTF-8, or holds no word.
    """
    words: list[str] = []
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "the blocklist cannot be read",
                received=f"{path}: {error}",
                expected="a UTF-8 file with one word a line",
                fix="check the path",
            ) from error
        found = [word for line in lines if (word := line.strip()) and not line.startswith("# ")]
        if not found:
            raise DataError("the blocklist holds no word", received=path, expected="one word a line")
        words += found
    return Blocklist(word for word in words if word not in COMMON_IN_UNSPACED)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())
