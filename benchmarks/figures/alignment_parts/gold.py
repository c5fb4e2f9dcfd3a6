"""The gold scorers of benchmarks/figures/alignment.py, as rewards: prompts and answers in, a number for each out."""

import functools
import math
import os
import pathlib
from collections.abc import Sequence

from trivium.lm.load import load
from trivium.lm.local import LocalModel

_LEAST = 1e-4  # log-odds of at most 9.2 either way


@functools.cache
def gold_scorer(folder: pathlib.Path) -> LocalModel:
    """The classifier of phrases."""
    return load(folder)


def log_odds(scorer: LocalModel, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """log p(positive) - log p(negative) of each whole sentence."""
    texts = [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]
    found = [label.probabilities["positive"] for label in scorer.classify(texts)]
    held = [min(max(probability, _LEAST), 1 - _LEAST) for probability in found]
    return [math.log(probability / (1 - probability)) for probability in held]


def gold_of_reviews(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """How positive a review is."""
    return log_odds(gold_scorer(pathlib.Path(os.environ["TRIVIUM_GOLD"])), prompts, answers)


def gold_and_fluency(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """How positive it is, and how probable a sentence: the log-odds and the mean log-probability of a token."""
    model = gold_scorer(pathlib.Path(os.environ["TRIVIUM_TUNED"]))
    positive = gold_of_reviews(prompts, answers)
    scores = model.score([(prompt, f" {answer or '.'}") for prompt, answer in zip(prompts, answers, strict=True)])
    return [odds + score.logprob / score.tokens for odds, score in zip(positive, scores, strict=True)]
