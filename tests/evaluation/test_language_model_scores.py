"""The LM score and its reverse tell what real text, repeated text and noise are; each by its own side."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from trivium.errors import ConfigError, DataError
from trivium.evaluation import language_model_scores as module
from trivium.evaluation.language_model_scores import JudgeConfig, language_model_scores, trained_judge
from trivium.evaluation.text_nats import text_nats

SMALL = JudgeConfig(width=16, epochs=4, rows=8, dropout=0.1, learning_rate=4e-2)


def texts(count: int, seed: int) -> list[list[int]]:
    """Each number is the one before it or the one after that, from 1 to 8, of 3 to 6 numbers."""
    chance = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(count):
        length = int(torch.randint(3, 7, (1,), generator=chance))
        first, *steps = (
            torch.randint(0, 8, (1,), generator=chance).tolist()
            + torch.randint(0, 2, (length - 1,), generator=chance).tolist()
        )
        drawn.append([1 + number % 8 for number in itertools.accumulate([first, *steps])])
    return drawn


def test_what_each_side_tells():
    real, held_out = texts(120, 0), texts(100, 1)
    alike, repeated = (
        language_model_scores(real, held_out, samples, vocabulary_size=9, start=0, config=SMALL)
        for samples in (texts(120, 2), [real[0]] * 120)
    )
    entropy = (math.log(8) + (4.5 - 1) * math.log(2)) / 4.5  # of 3 to 6 tokens
    assert entropy - 0.05 < alike.real.estimate < entropy + 0.3
    assert alike.real.low < alike.real.estimate < alike.real.high
    for side in (alike.forward, alike.reverse):
        assert side.estimate == pytest.approx(alike.real.estimate, abs=0.15)
    # Likely, and nothing else: the one side finds no fault, the other does.
    assert 0.4 < repeated.forward.estimate < alike.forward.estimate + 0.3
    assert repeated.reverse.estimate > alike.reverse.estimate + 1
    assert repeated.real == alike.real  # the judge of real text does not depend on the samples


def test_a_judge_depends_on_its_seed_alone():
    def judged(config: JudgeConfig) -> float:
        return float(text_nats(trained_judge(texts(60, 0), 9, 0, config), texts(10, 1), start=0).sum())

    brief = dataclasses.replace(SMALL, epochs=2)
    state = torch.get_rng_state()
    first = judged(brief)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert judged(brief) == first
    assert judged(dataclasses.replace(brief, seed=1)) != first


def test_the_best_pass_is_kept(monkeypatch):
    """By the texts held back, which are no text that is learnt from: here the second of four passes is said to be."""
    seen: list[dict[str, torch.Tensor]] = []
    held: list[list[list[int]]] = []

    def scripted(model: torch.nn.Module, texts: list[list[int]], *, start: int) -> np.ndarray:
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        held.append(texts)
        return np.array([[5.0], [1.0], [2.0], [3.0]][len(seen) - 1])

    monkeypatch.setattr(module, "text_nats", scripted)
    judge = trained_judge(texts(40, 0), 9, 0, dataclasses.replace(SMALL, epochs=4)).state_dict()
    matching = [all(torch.equal(state[name], judge[name]) for name in judge) for state in seen]
    assert matching == [False, True, False, False]
    assert len(held[0]) == 4 and all(each == held[0] for each in held)


def test_what_is_refused():
    with pytest.raises(DataError, match="learns from texts"):
        language_model_scores([[1]], [[1]], [[1]], vocabulary_size=3, start=0)
    with pytest.raises(ConfigError, match="epochs"):
        JudgeConfig(epochs=0)
    with pytest.raises(ConfigError, match="held_share"):
        JudgeConfig(held_share=1.0)
