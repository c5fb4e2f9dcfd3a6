"""The figures of one text that all rules are judged by, taken once."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trivium.data.quality.repetition import Repetition, measure_repetition
from trivium.data.quality.words import CLOSING_MARKS, ELLIPSES, SENTENCE_MARKS, UNSPACED, ends_finished, pieces

BULLETS = frozenset("-*•‣⁃◦▪●○■□►·")
"""First characters of a line that is an item of a list."""
SHORT_LINE_CHARACTERS = 30
"""A line with fewer is short (Penedo et al. 2024, section 3.6)."""

_AROUND_WORDS = string.punctuation + "“”‘’„‚«»‹›…–—¡¿•·、。！？「」『』（），：；"
# Bounded on both sides, so a run of a million full stops is read once. CJK marks need no space after them.
_SENTENCE_END = re.compile(
    rf"[{re.escape(SENTENCE_MARKS)}][{re.escape(CLOSING_MARKS)})\]]{{0,3}}(?=\s|\Z)|[\u3002\uff01\uff1f](?=\S)"
)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts and shares of one text. A share of nothing is 0. Lines are stripped, and blank ones do not count."""

    characters: int
    """Code points of the text, white space included."""
    words: int
    """Pieces between white space that hold more than punctuation; each letter of a script without spaces is one."""
    unspaced_share: float
    """Words that are letters of a script without spaces."""
    mean_word_characters: float
    """Characters a word, without the punctuation around it."""
    alphabetic_share: float
    """Words that hold at least one letter."""
    stop_words: int
    """How many different ones of the stop words occur."""
    hashes_per_word: float
    """Number signs."""
    ellipses_per_word: float
    """Three full stops, or the character."""
    lines: int
    """Lines that are not blank."""
    bullet_lines_share: float
    """Lines that begin with one of `BULLETS`."""
    ellipsis_lines_share: float
    """Lines that end in an ellipsis."""
    finished_lines_share: float
    """Lines that end in a mark that ends a sentence, or in a closing quotation mark; an ellipsis is none."""
    short_lines_share: float
    """Lines of fewer than `SHORT_LINE_CHARACTERS` characters."""
    duplicate_lines_share: float
    """Lines that stood in the text before."""
    duplicate_lines_characters_share: float
    """Characters in them, of the characters of all lines."""
    duplicate_paragraphs_share: float
    """Paragraphs, which blank lines part, that stood in the text before."""
    duplicate_paragraphs_characters_share: float
    """Characters in them, of the characters of all paragraphs."""
    line_feeds_per_word: float
    """Line feeds, those of blank lines included."""
    sentences: int
    """Marks that end a sentence and are followed by white space or the end; CJK marks need no space."""
    lorem_ipsum: bool
    """Whether "lorem ipsum" occurs, in any case."""
    curly_brackets: int
    """Opening curly brackets."""
    pieces: Sequence[str] = field(repr=False)
    """What stands between white space, in order."""

    @cached_property
    def repetition(self) -> Repetition:
        """How much is repeated in runs of words. It takes as long as all the rest, so it is measured when asked for."""
        return measure_repetition(self.pieces)


def measure(text: str, stop_words: Sequence[str] = ()) -> Statistics:
    """The statistics of ``text``, in one pass each over its words, its lines and its characters.

    Args:
        text: cleaned text, with line feeds as line ends.
        stop_words: lower-case words of which `Statistics.stop_words` counts how many occur.
    """
    found = pieces(text)
    lines = [line.strip() for line in text.split("\n")]
    words = _measure_words(found, frozenset(stop_words))
    number = words["words"]
    return Statistics(
        characters=len(text),
        hashes_per_word=_share(text.count("#"), number),
        ellipses_per_word=_share(sum(map(text.count, ELLIPSES)), number),
        line_feeds_per_word=_share(text.count("\n"), number),
        sentences=sum(1 for _ in _SENTENCE_END.finditer(text)),
        lorem_ipsum="lorem ipsum" in text.lower(),
        curly_brackets=text.count("{"),
        pieces=found,
        **words,
        **_measure_lines(lines),
    )


def _measure_words(found: list[str], stop_words: frozenset[str]) -> dict:
    words = characters = alphabetic = unspaced = 0
    stops: set[str] = set()
    for piece, count in Counter(found).items():
        core = piece.strip(_AROUND_WORDS)
        if not core:
            continue
        words += count
        characters += count * len(core)
        if UNSPACED.match(core):
            unspaced += count
            alphabetic += count  # the vowel signs of Thai and others are letters to its readers, marks to Unicode
        elif core[0].isalpha() or any(map(str.isalpha, core)):
            alphabetic += count
        if (lowered := core.lower()) in stop_words:
            stops.add(lowered)
    return {
        "words": words,
        "unspaced_share": _share(unspaced, words),
        "mean_word_characters": _share(characters, words),
        "alphabetic_share": _share(alphabetic, words),
        "stop_words": len(stops),
    }


def _measure_lines(with_blank: list[str]) -> dict:
    lines = [line for line in with_blank if line]
    paragraphs = [paragraph for part in "\n".join(with_blank).split("\n\n") if (paragraph := part.strip("\n"))]
    number = len(lines)
    bullets = ellipses = finished = short = 0
    for line, count in Counter(lines).items():
        bullets += count * (line[0] in BULLETS)
        ellipses += count * line.endswith(ELLIPSES)
        finished += count * ends_finished(line)
        short += count * (len(line) < SHORT_LINE_CHARACTERS)
    line_share, line_characters = _duplicates(lines)
    paragraph_share, paragraph_characters = _duplicates(paragraphs)
    return {
        "lines": number,
        "bullet_lines_share": _share(bullets, number),
        "ellipsis_lines_share": _share(ellipses, number),
        "finished_lines_share": _share(finished, number),
        "short_lines_share": _share(short, number),
        "duplicate_lines_share": line_share,
        "duplicate_lines_characters_share": line_characters,
        "duplicate_paragraphs_share": paragraph_share,
        "duplicate_paragraphs_characters_share": paragraph_characters,
    }


def _duplicates(parts: list[str]) -> tuple[float, float]:
    """The shares of ``parts``, and of their characters, that are equal to an earlier part."""
    kinds = set(parts)
    if len(kinds) == len(parts):
        return 0.0, 0.0
    characters = sum(map(len, parts))
    return _share(len(parts) - len(kinds), len(parts)), _share(characters - sum(map(len, kinds)), characters)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
