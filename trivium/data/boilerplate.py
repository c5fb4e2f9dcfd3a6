"""Lines that are furniture of the page and not its text: menus, notices, counters, running heads.

The rules for lines of C4 (Raffel et al. 2020, section 2.2, and the reference code `c4_utils.py` of TensorFlow Datasets)
and of RefinedWeb (Penedo et al. 2023, appendix G.2). They were made for pages of the web: in verse, plays, tables and
code most lines would go.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.data.quality.words import ends_finished, number_of_words, pieces

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
"""Phrases of notices, in lower case (C4's code)."""

_CITATION = re.compile(r"\[\d{0,9}\]|\[edit\]|\[citation needed\]")
_DIGITS = re.compile(r"\d+")
_COUNTER = re.compile(
    r"[\d.,]{1,12}[km]?\s?(?:likes?|shares?|comments?|views?|replies|reply|votes?|followers?|retweets?|points?|"
    r"minutes? read|min read|(?:minutes?|hours?|days?|weeks?|months?|years?) ago)"
)
_MENU_SEPARATORS = re.compile(r"\s[|»›·•>/]\s")
_MENU_PHRASES = re.compile(
    r"^(?:©|\(c\) ?\d|(?:skip to|sign[ -]?in|log[ -]?in|sign up|register|subscribe|follow us|share (?:this|on)|"
    r"home(?= ?[|»›>/])|back to top|click here|copyright|all rights reserved)\b)"
    r"|\b(?:read more|continue reading|learn more|see more|view all|next page|previous page|sign in|log in|"
    r"add to cart|all rights reserved)\W{0,5}$"
    r"|\b(?:items? in (?:your )?cart|powered by wordpress|leave a comment|no comments yet)\b",
    re.IGNORECASE,
)
_NAVIGATION_WORDS_MAX = 10
_UPPERCASE_SHARE = 0.5
_RUNNING_HEAD_CHARACTERS_MAX = 80


@dataclass(frozen=True, kw_only=True)
class BoilerplateConfig:
    """Which lines go. The default is C4; FineWeb judges `finished` by page, and sets it off and `words_min` to 3."""

    finished: bool = True
    """Remove lines that end in no mark of a sentence's end and no quotation mark (C4)."""
    words_min: int = 5
    """Remove lines of fewer words (C4's code; some versions of the paper print 3). 0 keeps all."""
    word_characters_max: int = 1000
    """Remove lines with a longer word (C4's code). 0 keeps all."""
    javascript: bool = True
    """Remove lines that speak of JavaScript (C4)."""
    policies: bool = True
    """Remove lines that speak of cookies, terms of use or privacy policies (C4's code)."""
    citations: bool = True
    """Take marks of citations such as [3] or [edit] out of lines, as in Wikipedia (C4's code)."""
    navigation: bool = False
    """Remove lines of one word, mostly capitals, numbers, counters ("3 likes"), and short ones with words of menus
    ("Read more") or between separators ("Home | News | About") (RefinedWeb, which edits the last kind)."""
    repeats_max: int = 0
    """Remove short lines after this many occurrences in one text, numbers in them not compared: running heads and
    feet. 0 keeps all. Plays and verse repeat lines with good reason."""


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """A text without its boilerplate."""

    text: str
    """What is left."""
    removed: dict[str, int]
    """Rule: how many lines it removed. Each line counts once, for the first rule that it breaks."""


def strip_boilerplate(text: str, config: BoilerplateConfig) -> Stripped:
    """Remove the lines of cleaned ``text`` that ``config`` names.

    Blank lines stay, except where what they stood around is gone. Doing it again changes nothing more, unless marks of
    citations stood inside each other. Linear in the text.
    """
    kept: list[str] = []
    removed: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    after_gap = False
    for raw in text.split("\n"):
        line = _CITATION.sub("", raw) if config.citations and "[" in raw else raw
        stripped = line.strip()
        if not stripped:
            if raw.strip():
                removed["citation"] += 1
                after_gap = True
            elif not (after_gap and (not kept or not kept[-1].strip())):
                kept.append(raw)
            continue
        rule = _rule_against(stripped, config) or _repeated(stripped, seen, config.repeats_max)
        if rule is None:
            kept.append(line if line == raw else line.rstrip())
            after_gap = False
        else:
            removed[rule] += 1
            after_gap = True
    if not removed:
        return Stripped(text="\n".join(kept), removed={})
    return Stripped(text="\n".join(kept).strip("\n"), removed=dict(removed))


def strip_running_heads(pages: Sequence[str]) -> tuple[list[str], int]:
    """Pages of a book or a PDF without the heads and feet that more than half of them share, and how many lines went.

    A head is the first line of a page that is not blank, a foot the last; numbers in them are not compared, so
    "Chapter 2 - 17" is one with "Chapter 3 - 40". Fewer than three pages are left as they are.
    """
    if len(pages) < 3:
        return list(pages), 0
    split = [page.split("\n") for page in pages]
    removed = 0
    for last in (False, True):
        places = [_outermost(lines, last) for lines in split]
        heads = [None if at is None else _shape(lines[at]) for lines, at in zip(split, places, strict=True)]
        common = {head for head, count in Counter(heads).items() if head is not None and 2 * count > len(pages)}
        for lines, at, head in zip(split, places, heads, strict=True):
            if at is not None and head in common:
                del lines[at]
                removed += 1
    return ["\n".join(lines).strip("\n") for lines in split], removed


def _outermost(lines: list[str], last: bool) -> int | None:
    order = range(len(lines) - 1, -1, -1) if last else range(len(lines))
    return next((at for at in order if lines[at].strip()), None)


def _shape(line: str) -> str:
    """A line as it is compared with others: without case, space around it, or the values of its numbers."""
    return _DIGITS.sub("0", line.strip().casefold())


def _rule_against(line: str, config: BoilerplateConfig) -> str | None:
    """The first rule that a line, not blank, breaks by itself."""
    words = pieces(line)
    if config.word_characters_max and max(map(len, words)) > config.word_characters_max:
        return "word too long"
    if config.finished and not ends_finished(line):
        return "no end of a sentence"
    if len(words) < config.words_min or (not line.isascii() and number_of_words(words) < config.words_min):
        return "too few words"
    lowered = line.lower()
    if config.javascript and "javascript" in lowered:
        return "javascript"
    if config.policies and any(phrase in lowered for phrase in POLICY_PHRASES):
        return "policy"
    if config.navigation and _is_navigation(line, words):
        return "navigation"
    return None


def _is_navigation(line: str, words: list[str]) -> bool:
    if len(words) == 1:
        return True
    letters = [character for character in line if character.isalpha()]
    if not letters:  # numbers and rules
        return True
    if sum(map(str.isupper, letters)) > _UPPERCASE_SHARE * len(letters):
        return True
    if number_of_words(words) > _NAVIGATION_WORDS_MAX:
        return False
    return (
        _COUNTER.fullmatch(line.lower()) is not None
        or _MENU_PHRASES.search(line) is not None
        or len(_MENU_SEPARATORS.findall(line)) >= 2
    )


def _repeated(line: str, seen: Counter[str], repeats_max: int) -> str | None:
    if not repeats_max or len(line) > _RUNNING_HEAD_CHARACTERS_MAX:
        return None
    shape = _shape(line)
    seen[shape] += 1
    return "repeated" if seen[shape] > repeats_max else None
