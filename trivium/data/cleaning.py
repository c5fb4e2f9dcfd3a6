"""What is done to every text before anything is learnt from it. Cleaning twice changes nothing more.

Indentation, tabs and blank lines keep their meaning in code and are kept; what goes is what no reader sees.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

# Everything in the categories Cc (control) and the invisible format marks below, except tab and line feed.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_WIDE_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# A run begins where none did before and is never given back: a million spaces are read once, not half a million times.
_TRAILING = re.compile("(?<![ \t])[ \t]++(?=\n|\\Z)")
_BLANK_RUN = re.compile("\n{4,}")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Marks above and below letters of the Latin, Greek and Cyrillic scripts. Vowel signs of others are not accents:
# without them Hindi, Thai, Hebrew or Japanese would be other words.
_ACCENTS = re.compile("[\u0300-\u036f]")


@dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """What cleaning changes besides control characters, line ends and white space at the end of lines."""

    unicode_form: Literal["NFC", "NFKC"] = "NFC"
    """NFC composes letters and their accents. NFKC also replaces variants by what they stand for: ligatures, full-width
    letters, superscripts; it loses what they meant, such as the exponent in 10²."""
    strip_accents: bool = False
    """Take the accents off Latin, Greek and Cyrillic letters: é becomes e, й becomes и. Letters that are no letter with
    an accent, such as ø or ł, and the vowel signs of other scripts stay."""


DEFAULT = CleaningConfig()


def clean(text: str, config: CleaningConfig = DEFAULT) -> str:
    """``text`` in Unicode NFC, with line feeds as line ends, plain spaces, and no control characters.

    White space at the end of lines and around the text goes, more than two blank lines in a row become two, and lone
    surrogates (which JSON can spell and UTF-8 cannot) become U+FFFD.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
        text = _WIDE_SPACES.sub(" ", text)
        if config.strip_accents:
            apart = "NFD" if config.unicode_form == "NFC" else "NFKD"
            text = _ACCENTS.sub("", unicodedata.normalize(apart, text))
        text = unicodedata.normalize(config.unicode_form, text)
    text = _TRAILING.sub("", text)
    text = _BLANK_RUN.sub("\n\n\n", text)
    return text.strip("\n").rstrip()
