"""Where a sentence ends: enough for the first line of a docstring, in English."""

import re

_ABBREVIATIONS = (
    "e.g",
    "i.e",
    "etc",
    "vs",
    "cf",
    "al",
    "fig",
    "eq",
    "sec",
    "no",
    "approx",
    "resp",
    "ca",
    "dr",
    "mr",
    "st",
)
# A full stop, an exclamation or question mark, closing quotes or brackets, white space, and no lower-case letter next.
_END = re.compile(r"[.!?]+[\"'`)\]]*(?=\s+[^a-z\s]|\s*$)")
_LAST_WORD = re.compile(r"[\w.]+$")


def first_sentence(text: str) -> str:
    """The first sentence of the first paragraph of ``text``, on one line.

    A full stop inside "e.g. this", "3.14" or "os.path" ends nothing; a paragraph without one is taken whole.
    """
    paragraph = " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())
    for end in _END.finditer(paragraph):
        before = _LAST_WORD.search(paragraph, 0, end.start())
        word = before.group().casefold() if before else ""
        # Single letters are initials ("J. Smith"); "..." trails off inside a sentence more often than it ends one.
        abbreviated = word.strip(".") in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())
        if not abbreviated and not end.group().startswith("..."):
            return paragraph[: end.end()]
    return paragraph
