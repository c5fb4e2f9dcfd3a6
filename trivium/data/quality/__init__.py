"""Rules with published thresholds that say whether a text is worth learning from.

They were made for English prose from the web. Code, tables, verse and plays break many of them and are none the worse
for it; what is done for scripts that put no spaces between words stands in `words`.

words, repetition      what a word is; how much a text repeats itself in runs of words
statistics             the figures of one text, taken once and judged by all rules
gopher, c4, fineweb    the rules of three published corpora
blocklist              listed words
limits                 a figure, its bounds, and the verdict

And judges that are learnt from examples; `trivium filters` makes them:

language               which language a text is in
ngrams, perplexity     how surprising a text is to a model of text that one trusts
harm_features, harm    a classifier of harmful text; harm_report and by_group measure what it does, and to whom
model_folder           a learnt judge as a folder
"""

from dataclasses import dataclass, field
from typing import Literal

from trivium.data.quality import blocklist, c4, fineweb, gopher
from trivium.data.quality.c4 import C4Config
from trivium.data.quality.fineweb import FineWebConfig
from trivium.data.quality.gopher import GopherConfig
from trivium.data.quality.limits import KEEP, Verdict
from trivium.data.quality.statistics import measure

__all__ = ["C4Config", "FineWebConfig", "GopherConfig", "QualityConfig", "Rules", "Verdict", "judge"]

Rules = Literal["gopher", "c4", "fineweb"]


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Which rules judge a text, and their thresholds."""

    rules: tuple[Rules, ...] = ("gopher", "c4", "fineweb")
    """Sets of rules, in the order in which they judge; none keeps every text."""
    gopher: GopherConfig = field(default_factory=GopherConfig)
    """Thresholds of MassiveText (Rae et al. 2021)."""
    c4: C4Config = field(default_factory=C4Config)
    """Thresholds of C4 for pages (Raffel et al. 2020)."""
    fineweb: FineWebConfig = field(default_factory=FineWebConfig)
    """Thresholds of FineWeb (Penedo et al. 2024)."""
    blocklists: tuple[str, ...] = ()
    """Files of words, one a line, that no text may hold."""


def judge(text: str, config: QualityConfig, language: str | None = None) -> Verdict:
    """The first rule that ``text`` breaks, with the figure that broke it; ``rule`` is None if the text is to be kept.

    Args:
        text: cleaned text.
        config: the rules.
        language: of the text, as ISO 639-1; the rule of stop words leaves languages other than its own alone, and takes
            None, unknown, for its own.

    Raises:
        DataError: a blocklist that cannot be read.
    """
    statistics = measure(text, config.gopher.stop_words) if config.rules else None
    for rules in config.rules:
        assert statistics is not None
        if rules == "gopher":
            verdict = gopher.judge(statistics, config.gopher, language)
        elif rules == "c4":
            verdict = c4.judge(statistics, config.c4)
        else:
            verdict = fineweb.judge(statistics, config.fineweb)
        if verdict != KEEP:
            return verdict
    return blocklist.judge(text, blocklist.load_blocklist(config.blocklists)) if config.blocklists else KEEP
