"""What texts alone tell of the generator that wrote them, beside what real ones have.

    real = RealTexts(training, held_out, draws=3, size=500, vocabulary_size=5000, start=1)
    before, after = (real.scores(draws) for draws in (draws_of_the_start, draws_of_the_end))
    print(after.forward, before.forward, real.own().forward)

Nothing is asked of the generator but texts, so that one which has no likelihood, or writes from a code, is measured as
every other is: by the LM score and the reverse LM score (`language_model_scores`), by the Frechet distance of its texts
and real ones (`frechet`), and by its share of different n-grams. The model of real text, which plays no game, judges
in the first and its states are the vectors of the third.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trivium.data.shards import Ids
from trivium.errors import DataError
from trivium.evaluation.frechet import frechet_distance
from trivium.evaluation.intervals import Interval
from trivium.evaluation.language_model_scores import JudgeConfig, trained_judge
from trivium.evaluation.layers import text_vectors
from trivium.evaluation.metrics.diversity import distinct
from trivium.evaluation.over_seeds import over_seeds
from trivium.evaluation.text_nats import nats_per_token

GRAMS = (2, 3, 4)
"""Words of the n-grams that are counted."""
_ROWS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScores:
    """Of the texts of one generator, in several draws; intervals at 95 %."""

    forward: Interval
    """LM score, nats a token: of the texts under a model of real text; over other texts."""
    reverse: Interval
    """Reverse LM score, nats a token: of held-out real text under a model of the texts; over other real texts."""
    frechet: Interval
    """Frechet distance of a draw and the held-out texts; over draws."""
    unique: Mapping[int, Interval]
    """By n, the share of different n-grams among all of a draw; over draws."""


class RealTexts:
    """Some real texts that a language model has learnt from, and others that it has not."""

    def __init__(
        self,
        learnt: Sequence[Ids],
        held_out: Sequence[Ids],
        *,
        draws: int,
        size: int,
        vocabulary_size: int,
        start: int,
        config: JudgeConfig | None = None,
    ) -> None:
        """Trains the model on `draws` times `size` of `learnt`, or all there are, chosen by the seed of `config`.

        Texts are ids, their end included where it is to count; `start` is the id that stands before every text. The
        default generator is left as it was. Raises `DataError` for fewer than two texts of a kind.
        """
        if min(len(learnt), len(held_out), size) < 2 or draws < 1:
            raise DataError(
                "texts are compared with real ones",
                received=f"{draws} draws of {size}; {len(learnt)} learnt from, {len(held_out)} held out",
                expected="2 texts or more of each, and a draw",
            )
        self._config = config or JudgeConfig()
        chance = torch.Generator().manual_seed(self._config.seed)
        chosen = torch.randperm(len(learnt), generator=chance)[: draws * size]
        self.learnt = [learnt[index] for index in chosen.tolist()]
        """What the model has learnt from."""
        self.held_out = held_out
        """What it has not seen."""
        self.size = min(size, len(self.learnt))
        """Texts of each draw of which the distance and the shares are, fewer than `size` where there are no more real
        ones: both depend on it."""
        self._vocabulary_size, self._start = vocabulary_size, start
        self._judge = trained_judge(self.learnt, vocabulary_size, start, self._config)
        self._vectors = self._seen(held_out)

    def scores(self, draws: Sequence[Sequence[Ids]]) -> TextScores:
        """Of the draws of one generator. A model learns from as many of their texts as that of real text has.

        Raises `DataError` for a draw of fewer than two texts.
        """
        texts = list(itertools.chain.from_iterable(draws))
        mine = trained_judge(texts[: len(self.learnt)], self._vocabulary_size, self._start, self._config)
        return self._scores(
            draws,
            nats_per_token(self._judge, texts, start=self._start),
            nats_per_token(mine, self.held_out, start=self._start),
        )

    def own(self) -> TextScores:
        """Of the real texts themselves: the scores of held-out ones, and draws from those that were learnt from.

        About the best that can be hoped for; texts that are likelier than these are too likely.
        """
        draws = [self.learnt[at : at + self.size] for at in range(0, len(self.learnt) - self.size + 1, self.size)]
        nats = nats_per_token(self._judge, self.held_out, start=self._start)
        return self._scores(draws, nats, nats)

    def _scores(self, draws: Sequence[Sequence[Ids]], forward: Interval, reverse: Interval) -> TextScores:
        draws = [draw[: self.size] for draw in draws]
        shares = [
            distinct([" ".join(map(str, ids)) for ids in draw], n=GRAMS, tokenizer="whitespace") for draw in draws
        ]
        return TextScores(
            forward=forward,
            reverse=reverse,
            frechet=_over([frechet_distance(self._seen(draw), self._vectors) for draw in draws]),
            unique={n: _over([share[f"distinct{n}"] for share in shares]) for n in GRAMS},
        )

    def _seen(self, texts: Sequence[Ids]) -> np.ndarray:
        """The states of the judge over each text, the mean over its tokens, [N, D]."""
        begun = [[self._start, *ids] for ids in texts]
        layers = text_vectors(self._judge, begun, pooling="mean", rows=_ROWS)
        return layers[max(layers)].numpy()


def _over(figures: Sequence[float]) -> Interval:
    """The mean over draws, none of which can be below 0; of one draw nothing is known beside it."""
    if len(figures) == 1:
        return Interval(estimate=figures[0], low=figures[0], high=figures[0])
    found = over_seeds(figures)
    return dataclasses.replace(found, low=max(0.0, found.low))
