"""FineWeb's rules: each text beside its neighbour."""

import pytest

from trivium.data.quality import FineWebConfig
from trivium.data.quality.fineweb import judge
from trivium.data.quality.statistics import measure

CONFIG = FineWebConfig()


def rule(text: str) -> str | None:
    return judge(measure(text), CONFIG).rule


def lines(number: int, *, finished: int, short: int = 0) -> str:
    """Different lines, each of 40 characters; the first ``finished`` end a sentence, the last ``short`` have 29."""
    made = [f"line {n:02d} is made of some words and one more" for n in range(number)]
    made = [line[:29] if n >= number - short else line for n, line in enumerate(made)]
    return "\n".join(line + "." if n < finished else line for n, line in enumerate(made))


def test_thresholds_are_the_published_ones() -> None:
    assert (CONFIG.finished_lines_above, CONFIG.duplicate_lines_characters_below) == (0.12, 0.1)
    assert (CONFIG.short_lines_below, CONFIG.line_feeds_per_word_max) == (0.67, 0.3)


@pytest.mark.parametrize(
    ("broken", "kept", "name"),
    [
        # 3 of 25 is exactly 0.12, which goes; so does 67 of 100.
        (lines(25, finished=3), lines(25, finished=4), "fineweb: few lines end in punctuation"),
        (lines(100, finished=30, short=67), lines(100, finished=30, short=66), "fineweb: short lines"),
    ],
)
def test_neighbours(broken: str, kept: str, name: str) -> None:
    assert rule(broken) == name
    assert rule(kept) is None


def test_duplicate_lines() -> None:
    text = lines(9, finished=9)
    assert rule(text + "\n" + text.split("\n")[0]) == "fineweb: characters in duplicate lines"  # exactly a tenth
    text = lines(10, finished=10)
    assert rule(text + "\n" + text.split("\n")[0]) is None  # an eleventh


def test_lists() -> None:
    line = "thirty-characters-of-one-word. and"
    text = "\n".join(f"{n} {line}" for n in range(20))  # 3 words a line, and 19 line feeds in 60 words
    assert rule(text.replace("and", "end.")) == "fineweb: list"
    assert rule(text.replace("and", "and the end.")) is None
