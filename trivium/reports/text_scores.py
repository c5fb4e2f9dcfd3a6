"""What texts alone tell of the generators that wrote them, side by side. Plain figures in."""

import dataclasses
from collections.abc import Mapping, Sequence

from trivium.reports import parts
from trivium.reports.page import Section
from trivium.reports.text_gan import Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredTexts:
    """Texts of one generator, or real ones."""

    name: str
    """As people know it."""
    forward: Range
    """LM score, nats a token."""
    reverse: Range
    """Reverse LM score, nats a token."""
    frechet: Range
    """Frechet distance from held-out real texts."""
    unique: Mapping[int, Range]
    """By n, the share of different n-grams in a draw; the same n for all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScoreFacts:
    """Everything the section tells."""

    scored: Sequence[ScoredTexts]
    """Real texts first."""
    judge: str
    """The language model that judges, and how it learnt, in words: "an LSTM of width 64, 5 passes"."""
    learnt_texts: int
    """Texts that each such model learnt from."""
    draw_texts: int
    """Texts of a draw."""
    held_out_texts: int
    """Real texts that none of them learnt from."""


def scores_section(facts: TextScoreFacts) -> Section:
    """The figures as a table, and what each of them is."""
    orders = list(facts.scored[0].unique)
    headings = ("", "LM score", "reverse LM score", "Fréchet distance", *(f"different {n}-grams" for n in orders))
    rows = [
        (
            each.name,
            *(_told(value, ".3f") for value in (each.forward, each.reverse)),
            _told(each.frechet, ".3g"),
            *(_told(each.unique[n], ".1%") for n in orders),
        )
        for each in facts.scored
    ]
    body = parts.paragraph(
        "Nothing is asked of a generator but its texts, at temperature 1. Lower is better in the first three columns, "
        "and what real texts have is about the best there is: likelier texts than those say too little."
    )
    body += parts.table(headings, rows) + "".join(parts.paragraph(words, "quiet") for words in _meanings(facts))
    return Section(title="Judged by its texts alone", body=body)


def _meanings(facts: TextScoreFacts) -> list[str]:
    learnt, held_out, draw = (f"{each:,}" for each in (facts.learnt_texts, facts.held_out_texts, facts.draw_texts))
    scores = (
        f"LM score: nats a token of the texts under {facts.judge} that learnt from {learnt} real texts. Reverse LM "
        f"score: nats a token of {held_out} held-out real texts under another such model, that learnt from {learnt} of "
        "the texts. The first finds nonsense, the second what is never said."
    )
    distance = (
        f"Fréchet distance: how far a draw of {draw} texts is from the held-out ones. Each text is a vector, the mean "
        "over its tokens of the states of the model of real texts. Different n-grams: how many of those in a draw are "
        "there for the first time. Both depend on the size of a draw."
    )
    return [scores, distance, "Intervals at 95 %: of the scores over other texts, of all else over draws."]


def _told(value: Range, form: str) -> str:
    low, middle, high = (format(each, form) for each in value)
    return middle if low == high else f"{middle} [{low}, {high}]"
