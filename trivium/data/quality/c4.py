"""The rules of C4 for whole pages: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
Text-to-Text Transformer", section 2.2.

C4 first removes lines and then judges what is left: its rules for lines are in `trivium.data.boilerplate`, its list of
words in `trivium.data.quality.blocklist`. Its rule of language is the identification of language.
"""

from dataclasses import dataclass

from trivium.data.quality.limits import Limit, Verdict, first_broken
from trivium.data.quality.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class C4Config:
    """Section 2.2, with the figures of the reference code (`c4_utils.py` of TensorFlow Datasets)."""

    sentences_min: int = 3
    """Sentences. Some versions of the paper print 5 here and 3 for the words of a line: the code has it this way."""
    curly_brackets_max: int = 0
    """Opening curly brackets; prose has none and code has many."""
    lorem_ipsum: bool = False
    """Whether pages with the placeholder text "lorem ipsum" are kept."""


def judge(statistics: Statistics, config: C4Config) -> Verdict:
    """The first of C4's rules for pages that a text breaks."""
    return first_broken(
        (
            Limit("c4: lorem ipsum", statistics.lorem_ipsum, "<=", config.lorem_ipsum),
            Limit("c4: curly bracket", statistics.curly_brackets, "<=", config.curly_brackets_max),
            Limit("c4: too few sentences", statistics.sentences, ">=", config.sentences_min),
        )
    )
