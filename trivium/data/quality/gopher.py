"""The rules of MassiveText: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training
Gopher", section A.1.1 (quality) and Table A1 (repetition).

The paper leaves open what counts as a duplicate. Here, as in the pipeline of FineWeb, it is what stood in the text
before, so a paragraph said twice is one duplicate, not two. It is for English; `words` says what a word is elsewhere.
"""

from dataclasses import dataclass, field

from trivium.data.quality.limits import KEEP, Limit, Verdict, first_broken
from trivium.data.quality.repetition import DUPLICATE_SIZES, TOP_SIZES
from trivium.data.quality.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class RepetitionConfig:
    """Table A1: the largest shares that are kept."""

    duplicate_lines_max: float = 0.30
    """Share of the lines."""
    duplicate_paragraphs_max: float = 0.30
    """Share of the paragraphs."""
    duplicate_lines_characters_max: float = 0.20
    """Share of the characters that stand in duplicate lines."""
    duplicate_paragraphs_characters_max: float = 0.20
    """Share of the characters that stand in duplicate paragraphs."""
    top_run_characters_max: tuple[float, float, float] = (0.20, 0.18, 0.16)
    """Share of the characters in the most frequent run of 2, 3 and 4 words."""
    duplicate_run_characters_max: tuple[float, float, float, float, float, float] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    """Share of the characters in duplicate runs of 5, 6, 7, 8, 9 and 10 words."""


@dataclass(frozen=True, kw_only=True)
class GopherConfig:
    """Section A.1.1, "Quality Filtering", and Table A1."""

    words_min: int = 50
    """Words."""
    words_max: int = 100_000
    """Words. Whole novels are longer: split them by chapter first, or raise this."""
    mean_word_characters_min: float = 3.0
    """Characters a word; not applied to scripts without spaces, nor to those whose letters are syllables."""
    mean_word_characters_max: float = 10.0
    """As the least."""
    symbols_per_word_max: float = 0.1
    """Number signs a word, and ellipses a word."""
    bullet_lines_max: float = 0.9
    """Share of the lines that begin with a bullet."""
    ellipsis_lines_max: float = 0.3
    """Share of the lines that end in an ellipsis."""
    alphabetic_words_min: float = 0.8
    """Share of the words that hold at least one letter."""
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Words of which every text in `stop_words_language` is expected to hold some; lower case."""
    stop_words_min: int = 2
    """How many different ones."""
    stop_words_language: str = "en"
    """The language of the stop words; texts known to be in another are not judged by them."""
    repetition: RepetitionConfig = field(default_factory=RepetitionConfig)
    """Thresholds of repetition."""


def judge(statistics: Statistics, config: GopherConfig, language: str | None = None) -> Verdict:
    """The first of Gopher's rules that a text breaks.

    Args:
        statistics: of the text, measured with ``config.stop_words``.
        config: the thresholds.
        language: of the text, as ISO 639-1; None if unknown, and then it is judged as ``stop_words_language``.
    """
    s = statistics
    limits = [
        Limit("gopher: too few words", s.words, ">=", config.words_min),
        Limit("gopher: too many words", s.words, "<=", config.words_max),
        Limit("gopher: too many number signs", s.hashes_per_word, "<=", config.symbols_per_word_max),
        Limit("gopher: too many ellipses", s.ellipses_per_word, "<=", config.symbols_per_word_max),
        Limit("gopher: too many bullets", s.bullet_lines_share, "<=", config.bullet_lines_max),
        Limit("gopher: too many lines trail off", s.ellipsis_lines_share, "<=", config.ellipsis_lines_max),
        Limit("gopher: too few alphabetic words", s.alphabetic_share, ">=", config.alphabetic_words_min),
    ]
    if s.without_alphabet_share <= 0.5:
        shortest, longest = config.mean_word_characters_min, config.mean_word_characters_max
        limits.append(Limit("gopher: words too short", s.mean_word_characters, ">=", shortest))
        limits.append(Limit("gopher: words too long", s.mean_word_characters, "<=", longest))
    if language in (None, config.stop_words_language):
        limits.append(Limit("gopher: too few stop words", s.stop_words, ">=", config.stop_words_min))
    verdict = first_broken(limits)
    # Runs of words take as long as all the rest, so only texts that pass the rest are measured for them.
    return verdict if verdict != KEEP else first_broken(_repetition_limits(s, config.repetition))


def _repetition_limits(s: Statistics, config: RepetitionConfig) -> list[Limit]:
    lines, paragraphs = s.duplicate_lines_share, s.duplicate_paragraphs_share
    line_characters, paragraph_characters = s.duplicate_lines_characters_share, s.duplicate_paragraphs_characters_share
    limits = [
        Limit("gopher: duplicate lines", lines, "<=", config.duplicate_lines_max),
        Limit("gopher: duplicate paragraphs", paragraphs, "<=", config.duplicate_paragraphs_max),
        Limit("gopher: characters in duplicate lines", line_characters, "<=", config.duplicate_lines_characters_max),
        Limit(
            "gopher: characters in duplicate paragraphs",
            paragraph_characters,
            "<=",
            config.duplicate_paragraphs_characters_max,
        ),
    ]
    for n, share, most in zip(TOP_SIZES, s.repetition.top, config.top_run_characters_max, strict=True):
        limits.append(Limit(f"gopher: one run of {n} words repeated", share, "<=", most))
    for n, share, most in zip(
        DUPLICATE_SIZES, s.repetition.duplicate, config.duplicate_run_characters_max, strict=True
    ):
        limits.append(Limit(f"gopher: duplicate runs of {n} words", share, "<=", most))
    return limits
