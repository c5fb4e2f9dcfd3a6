"""The LM score and the reverse LM score: a language model is the judge of generated texts, in both directions.

    LM score            a model learns real text and reads the samples: is what was generated likely?      quality
    reverse LM score    a model learns the samples and reads real text: is there all of the language?      diversity

Cifka et al. 2018, "Eval all, trust a few, do wrong to none: Comparing sentence generation models" (the second is the
reverse perplexity of Zhao et al. 2018); Caccia et al. 2020, "Language GANs Falling Short". In nats a token, and the
lower the better. One alone says nothing: a generator of one likely sentence has the best LM score there is, and the
worst reverse score. The anchor of both is what held-out real text has under the model of real text: better samples than
that are too likely.
"""

import copy
import dataclasses
import math
from collections.abc import Sequence

import torch

from trivium.data.shards import Ids
from trivium.data.whole_texts import whole_texts
from trivium.errors import ConfigError, DataError
from trivium.evaluation.intervals import Interval
from trivium.evaluation.text_nats import nats_per_token, text_nats
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.causal import causal
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The language model that judges, and how it learns; both directions use the same."""

    width: int = 128
    """Of its embedding and of its one LSTM layer."""
    dropout: float = 0.3
    """On the embedding and on the output of the layer."""
    epochs: int = 10
    """Passes over the texts; the weights of the best one are kept."""
    rows: int = 64
    """Texts of an update."""
    learning_rate: float = 5e-3
    """Peak rate of AdamW; it falls along a half cosine."""
    held_share: float = 0.1
    """Part of the texts to learn from that says which pass was the best, and is not learnt from."""
    seed: int = 0
    """Of its weights, of the order of the texts and of dropout."""

    def __post_init__(self) -> None:
        for name in ("width", "epochs", "rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1", received=getattr(self, name))
        if not 0 < self.held_share < 1:
            raise ConfigError("held_share is a part of the texts", received=self.held_share, expected="0 to 1, neither")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModelScores:
    """In nats a token; intervals at 95 %, over other texts and not over other judges."""

    forward: Interval
    """LM score: of the samples, under a model of real text."""
    reverse: Interval
    """Reverse LM score: of held-out real text, under a model of the samples."""
    real: Interval
    """Of held-out real text, under the model of real text: what both would be if the samples were real."""


def language_model_scores(
    real: Sequence[Ids],
    held_out: Sequence[Ids],
    samples: Sequence[Ids],
    *,
    vocabulary_size: int,
    start: int,
    config: JudgeConfig | None = None,
) -> LanguageModelScores:
    """Trains one judge on `real` and one on `samples`; texts are ids, their end included where it is to count.

    `start` is the id that stands before every text. A judge of more texts is a better one: give as many samples as real
    texts. The default generator is left as it was. Raises `DataError` for fewer than two texts of a kind.
    """
    config = config or JudgeConfig()
    of_real, of_samples = (trained_judge(texts, vocabulary_size, start, config) for texts in (real, samples))
    return LanguageModelScores(
        forward=nats_per_token(of_real, samples, start=start),
        reverse=nats_per_token(of_samples, held_out, start=start),
        real=nats_per_token(of_real, held_out, start=start),
    )


def trained_judge(texts: Sequence[Ids], vocabulary_size: int, start: int, config: JudgeConfig) -> LSTM:
    """A language model of `texts`, in evaluation mode, with the weights of its best pass over them."""
    if len(texts) < 2:
        raise DataError("a language model learns from texts", received=f"{len(texts)}", expected="2 or more")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        order = torch.randperm(len(texts)).tolist()
        held = max(1, round(config.held_share * len(texts)))
        judging, learning = ([texts[index] for index in part] for part in (order[:held], order[held:]))
        shape = LSTMConfig(vocabulary_size=vocabulary_size, width=config.width, layers=1, dropout=config.dropout)
        return _best(LSTM(shape), learning, judging, start, config)


def _best(model: LSTM, learning: Sequence[Ids], judging: Sequence[Ids], start: int, config: JudgeConfig) -> LSTM:
    updates = -(-len(learning) // config.rows)
    learner = SupervisedLearner(
        model,
        causal,
        SupervisedConfig(
            optimiser=OptimiserConfig(learning_rate=config.learning_rate, beta2=0.999, weight_decay=0.0),
            schedule=ScheduleConfig(),
        ),
        steps=config.epochs * updates,
    )
    least, best = math.inf, copy.deepcopy(model)
    for _ in range(config.epochs):
        order = torch.randperm(len(learning)).tolist()
        for first in range(0, len(order), config.rows):
            learner.step(whole_texts([learning[index] for index in order[first : first + config.rows]], start))
        nats = float(text_nats(model, judging, start=start).sum())
        if nats < least:
            least, best = nats, copy.deepcopy(model)
    return best.eval()
