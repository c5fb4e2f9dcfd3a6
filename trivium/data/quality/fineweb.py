"""The rules that FineWeb adds to Gopher's and C4's: Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for
the Finest Text Data at Scale", section 3.6.
"""

from dataclasses import dataclass

from trivium.data.quality.limits import Limit, Verdict, first_broken
from trivium.data.quality.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class FineWebConfig:
    """Section 3.6. A text exactly at one of the first three thresholds goes, as in the paper."""

    finished_lines_above: float = 0.12
    """Share of the lines that end in punctuation, or in a letter of Thai or Lao, which end nothing so."""
    duplicate_lines_characters_below: float = 0.1
    """Share of the characters that stand in duplicate lines. The paper has 0.1; the published pipeline sets 0.01."""
    short_lines_below: float = 0.67
    """Share of the lines with fewer than 30 characters."""
    line_feeds_per_word_max: float = 0.3
    """Line feeds a word: lists. In the published pipeline (datatrove's `new_line_ratio`), not in the paper."""


def judge(statistics: Statistics, config: FineWebConfig) -> Verdict:
    """The first of FineWeb's own rules that a text breaks."""
    s = statistics
    return first_broken(
        (
            Limit("fineweb: few lines end in punctuation", s.finished_lines_share, ">", config.finished_lines_above),
            Limit("fineweb: short lines", s.short_lines_share, "<", config.short_lines_below),
            Limit(
                "fineweb: characters in duplicate lines",
                s.duplicate_lines_characters_share,
                "<",
                config.duplicate_lines_characters_below,
            ),
            Limit("fineweb: list", s.line_feeds_per_word, "<=", config.line_feeds_per_word_max),
        )
    )
