"""How well a model writes a line of code that was taken out: it is given what stands before and behind.

As in the single-line task of Bavarian et al. 2022 (section 4.1): exact match, and the edit similarity where it is not.
The same lines are asked for without what stands behind, which tells what that is worth.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from trivium.errors import DataError
from trivium.evaluation.metrics.edit_similarity import edit_similarity
from trivium.evaluation.metrics.exact_match import exact_match
from trivium.lm.local import LocalModel

LONGEST_LINE_TOKENS = 48
"""A line that is longer is not finished."""
_LEAST_CHARACTERS = 8
"""Of a line: "else:" and ")" tell nothing."""


@dataclass(frozen=True, kw_only=True)
class HiddenLine:
    """A line, and the text around it."""

    prefix: str
    """Up to the end of the line before."""
    line: str
    """With the white space before it, without the end of line."""
    suffix: str
    """From its end of line on."""


@dataclass(frozen=True, kw_only=True)
class HiddenLines:
    """How many lines were written as they stood, and how alike the others are."""

    lines: int
    """Lines that were asked for."""
    exact_match: float
    """Share of them written to the letter, but for white space at both ends."""
    edit_similarity: float
    """Mean, see the metric of this name."""


def hide_lines(texts: Sequence[str], count: int, *, characters: int, seed: int = 0) -> list[HiddenLine]:
    """``count`` lines drawn from ``texts``, at most one of every hundred lines of a text and none twice, each with
    ``characters`` of the text on either side. Raises ``DataError`` where there are not so many."""
    chance = random.Random(seed)
    places = []
    for text in texts:
        lines, start = text.split("\n"), 0
        fit = []
        for line in lines:
            if len(line.strip()) >= _LEAST_CHARACTERS and start:  # something stands before it
                fit.append((text, start, start + len(line)))
            start += len(line) + 1
        places += chance.sample(fit, min(len(fit), 1 + len(lines) // 100))
    if len(places) < count:
        raise DataError("there are too few lines to hide", received=f"{len(places)} lines", expected=f"{count}")
    return [
        HiddenLine(
            prefix=text[max(0, start - 1 - characters) : start - 1],
            line=text[start:end],
            suffix=text[end : end + characters],
        )
        for text, start, end in chance.sample(places, count)
    ]


def restore_lines(model: LocalModel, hidden: Sequence[HiddenLine], *, with_suffix: bool = True) -> HiddenLines:
    """Writes every line greedily; without the suffix as what follows the prefix."""
    # The end of line before it belongs to what is written: vocabularies join it with the indentation.
    asked = {"max_new_tokens": LONGEST_LINE_TOKENS, "temperature": 0.0}
    if with_suffix:
        answers = model.completions([(each.prefix, each.suffix) for each in hidden], **asked)
    else:
        answers = model.generate([each.prefix for each in hidden], **asked)
    written = [answer.text.strip("\n").partition("\n")[0].strip() for answer in answers]
    lines = [each.line.strip() for each in hidden]
    return HiddenLines(lines=len(lines), **exact_match(written, lines), **edit_similarity(written, lines))
