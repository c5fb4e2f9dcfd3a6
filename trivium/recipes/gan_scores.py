"""The generator of a finished game and the one that it began with, measured by their texts alone.

A language model that plays no game learns from real texts, and one of the same kind from the texts of each: see
`trivium.evaluation.text_scores`. So it is with TextGAN too, whose texts have no likelihood.
"""

import dataclasses
from collections.abc import Sequence

from trivium.evaluation.intervals import Interval
from trivium.evaluation.language_model_scores import JudgeConfig
from trivium.evaluation.text_scores import RealTexts, TextScores
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_texts import GANTexts
from trivium.reports.page import Section
from trivium.reports.text_gan import Range
from trivium.reports.text_scores import ScoredTexts, TextScoreFacts, scores_section

_ROWS, _UPDATES = 16, 20
"""Texts of an update, fewer where a pass would have fewer updates: so few texts are learnt from in few passes."""
_RATE = 1e-2

Draws = Sequence[Sequence[Sequence[int]]]
"""Draws of texts as ids, each up to its end token, which is left out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """Of both generators at temperature 1, and of real texts."""

    start: TextScores
    """The generator that the game began with."""
    end: TextScores
    """The one that it made."""
    real: TextScores
    """Real texts, as if a generator had written them."""
    learnt_texts: int
    """Texts that each of the language models learnt from."""
    draw_texts: int
    """Texts of a draw."""


def scored(config: GANConfig, texts: GANTexts, start: Draws, end: Draws) -> Scored | None:
    """Both, by draws of equal size; None where it is not asked for, or there are no two texts to learn from."""
    size, draws = config.frontier.texts, config.frontier.draws
    count = min(size * draws, len(texts.training))
    if not config.frontier.judge_passes or count < 2:
        return None
    judge = JudgeConfig(
        width=config.frontier.judge_width,
        epochs=config.frontier.judge_passes,
        rows=max(1, min(_ROWS, count // _UPDATES)),
        learning_rate=_RATE,
        seed=config.seed,
    )
    real = RealTexts(
        texts.training,
        texts.held_out,
        draws=draws,
        size=size,
        vocabulary_size=texts.tokenizer.vocabulary_size,
        start=texts.start,
        config=judge,
    )
    before, after = (real.scores([[_ended(texts, ids) for ids in draw] for draw in each]) for each in (start, end))
    return Scored(start=before, end=after, real=real.own(), learnt_texts=count, draw_texts=real.size)


def told(found: Scored) -> str:
    """The two scores as a sentence for the terminal."""
    start, end, real = found.start, found.end, found.real
    return (
        f"A model of real texts gives its texts {end.forward.estimate:.3f} nats a token (LM score; "
        f"{start.forward.estimate:.3f} where the game began), and a model of its texts gives held-out text "
        f"{end.reverse.estimate:.3f} (reverse LM score; {start.reverse.estimate:.3f} where it began); with real texts "
        f"both are {real.forward.estimate:.3f}."
    )


def section(config: GANConfig, texts: GANTexts, found: Scored, start: str) -> Section:
    """The figures on the page; `start` is what the generator is called that the game began with."""
    settings = config.frontier
    passes = "1 pass" if settings.judge_passes == 1 else f"{settings.judge_passes} passes"
    return scores_section(
        TextScoreFacts(
            scored=[
                _figures("real texts", found.real),
                _figures(start, found.start),
                _figures(config.method, found.end),
            ],
            judge=f"a language model (one LSTM layer of width {settings.judge_width}, {passes})",
            learnt_texts=found.learnt_texts,
            draw_texts=found.draw_texts,
            held_out_texts=len(texts.held_out),
        )
    )


def _ended(texts: GANTexts, ids: Sequence[int]) -> list[int]:
    """A text with its end token again, unless it had none: then it is as long as the longest."""
    return [*ids, texts.end] if len(ids) < texts.longest else list(ids)


def _figures(name: str, scores: TextScores) -> ScoredTexts:
    return ScoredTexts(
        name=name,
        forward=_range(scores.forward),
        reverse=_range(scores.reverse),
        frechet=_range(scores.frechet),
        unique={n: _range(value) for n, value in scores.unique.items()},
    )


def _range(value: Interval) -> Range:
    return value.low, value.estimate, value.high
