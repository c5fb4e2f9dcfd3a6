"""What is done to every text before anything is learnt from it. Cleaning twice changes nothing more.

Indentation, tabs and blank lines keep their meaning in code and are kept; what goes is what no reader sees.
"""

import re
import unicodedata

# Everything in the categories Cc (control) and the invisible format marks below, except tab and line feed.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_WIDE_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile("[ \t]+(?=\n|$)")
_BLANK_RUN = re.compile("\n{4,}")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` in Unicode NFC, with line feeds as line ends, plain spaces, and no control characters.

    White space at the end of lines and around the text goes, more than two blank lines in a row become two, and lone
    surrogates (which JSON can spell and UTF-8 cannot) become U+FFFD.
    """
    text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    text = _WIDE_SPACES.sub(" ", text)
    text = unicodedata.normalize("NFC", text)
    text = _TRAILING.sub("", text)
    text = _BLANK_RUN.sub("\n\n\n", text)
    return text.strip("\n").rstrip()
