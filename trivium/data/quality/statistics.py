"""The figures of one text that all rules are judged by, taken once."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trivium.data.quality.repetition import Repetition, measure_repetition
from trivium.data.quality.words import (
    CLOSING_MARKS,
    ELLIPSES,
    SENTENCE_MARKS,
    SENTENCE_SPACE,
    SYLLABIC,
    UNSPACED,
    ends_finished,
    letters_a_word,
    pieces,
)

BULLETS = frozenset("-*•‣⁃◦▪●○■□►·")
"""First characters of a line that is an item of a list."""
SHORT_LINE_CHARACTERS = 30
"""A line with fewer is short (Penedo et al. 2024, section 3.6)."""

_AROUND_WORDS = string.punctuation + "“”‘’„‚«»‹›…–—¡¿•·、。！？「」『』（），：；"
# Bounded on both sides, so a run of a million full stops is read once. CJK marks need no space after them.
_SENTENCE_END = re.compile(
    rf"[{re.escape(SENTENCE_MARKS)}][{re.escape(CLOSING_MARKS)})\]]{{0,3}}(?=\s|\Z)|[\u3002\uff01\uff1f](?=\S)|{SENTENCE_SPACE}"
)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts and shares of one text. A share of nothing is 0. Lines are stripped, and blank ones do not count."""

    characters: int
    """Code points of the text, white space included."""
    words: int
    """Pieces between white space that hold more than punctuation, and groups of letters of scripts without spaces."""
    without_alphabet_share: float
    """Words in scripts without spaces, or whose letters are syllables: their length says nothing."""
    mean_word_characters: float
    """Characters a word that stands between white space, without the punctuation around it."""
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
    """What stands between white space, and each letter of a script without spaces, in order."""
    pieces_a_word: int = field(repr=False)
    """1, or how many letters make a word where most words are in a script without spaces."""

    @cached_property
    def repetition(self) -> Repetition:
        """How much is repeated in runs of words. It takes as long as all the rest, so it is measured when asked for."""
        return measure_repetition(self.pieces, self.pieces_a_word)


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
    spaced = characters = alphabetic = syllabic = 0
    stops: set[str] = set()
    letters: dict[str, int] = {}
    for piece, count in Counter(found).items():
        core = piece.strip(_AROUND_WORDS)
        if not core:
            continue
        if UNSPACED.match(core):
            letters[core] = count
            continue
        spaced += count
        characters += count * len(core)
        if core[0].isalpha() or any(map(str.isalpha, core)):
            alphabetic += count
            syllabic += count * (SYLLABIC.match(core) is not None)
        if (lowered := core.lower()) in stop_words:
            stops.add(lowered)
    size = letters_a_word(letters)
    # Vowel signs of Thai and others are letters to its readers, marks to Unicode: all of them count as alphabetic.
    unspaced = -(-sum(letters.values()) // size)
    words = spaced + unspaced
    return {
        "words": words,
        "without_alphabet_share": _share(unspaced + syllabic, words),
        "mean_word_characters": _share(characters, spaced),
        "alphabetic_share": _share(alphabetic + unspaced, words),
        "stop_words": len(stops),
        "pieces_a_word": size if unspaced > spaced else 1,
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
