"""Words, where text has them between spaces and where it does not, and the marks that end a sentence.

The published rules count the words of English. In scripts that put no spaces between words (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) a whole sentence would be one word, so there each letter counts as one.
"""

import re

UNSPACED_RANGES = (
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ece\u0edc-\u0edf"  # Lao
    "\u1000-\u103f\u1050-\u109d"  # Burmese
    "\u1780-\u17d3"  # Khmer
    "\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # hiragana, katakana
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
)
"""Letters of scripts without spaces, as the ranges of a character class."""
UNSPACED = re.compile(f"[{UNSPACED_RANGES}]")
"""One letter of a script without spaces. Han, kana and South-East Asian; Korean puts spaces."""
_PIECES = re.compile(rf"[{UNSPACED_RANGES}]|[^\s{UNSPACED_RANGES}]+")

SENTENCE_MARKS = ".!?\u2026\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u104b\u17d4"
"""What ends a sentence: Latin, CJK, Arabic, Devanagari, Armenian, Ethiopic, Burmese and Khmer marks."""
CLOSING_MARKS = "\"'\u201d\u2019\u00bb\u203a\u300d\u300f"
"""Quotation marks that may follow it. C4 takes the quotation mark alone for an end as well."""
ELLIPSES = ("...", "\u2026")
"""A line that trails off is no finished one."""


def pieces(text: str) -> list[str]:
    """What stands between white space, and each letter of a script without spaces, in order."""
    if text.isascii() or UNSPACED.search(text) is None:
        return text.split()
    return _PIECES.findall(text)


def ends_finished(line: str) -> bool:
    """Whether a line that ends in no white space ends like a sentence (C4; an ellipsis does not count)."""
    return line[-1:] in _TERMINAL and not line.endswith(ELLIPSES)


_TERMINAL = frozenset(SENTENCE_MARKS + CLOSING_MARKS)
