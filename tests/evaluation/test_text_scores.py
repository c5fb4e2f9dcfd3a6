"""What texts alone tell: a generator that repeats itself, one that writes nonsense, and real texts, told apart."""

import dataclasses

import numpy as np
import pytest
import torch

from trivium.errors import DataError
from trivium.evaluation import text_scores as module
from trivium.evaluation.frechet import frechet_distance
from trivium.evaluation.language_model_scores import JudgeConfig, language_model_scores
from trivium.evaluation.text_nats import text_nats
from trivium.evaluation.text_scores import RealTexts

SMALL = JudgeConfig(width=12, epochs=3, rows=8, dropout=0.1, learning_rate=4e-2)
DRAWS, SIZE = 2, 50


def counting(count: int, seed: int) -> list[list[int]]:
    """From 1 to 8 and round again, from anywhere, 3 to 6 numbers and an end."""
    chance = np.random.default_rng(seed)
    firsts, lengths = chance.integers(8, size=count), chance.integers(3, 7, size=count)
    return [[*(1 + (first + np.arange(length)) % 8).tolist(), 9] for first, length in zip(firsts, lengths, strict=True)]


def in_draws(texts: list[list[int]]) -> list[list[list[int]]]:
    return [texts[at : at + SIZE] for at in range(0, DRAWS * SIZE, SIZE)]


REAL, HELD_OUT = counting(100, 0), counting(60, 1)


@pytest.fixture(scope="module")
def real() -> RealTexts:
    return RealTexts(REAL, HELD_OUT, draws=DRAWS, size=SIZE, vocabulary_size=10, start=0, config=SMALL)


def test_each_figure_finds_its_own_fault(real):
    alike, own = real.scores(in_draws(counting(100, 2))), real.own()
    likeliest = min(REAL, key=lambda ids: text_nats(real._judge, [ids], start=0)[0] / len(ids))
    repeated = real.scores(in_draws([likeliest] * 100))
    nonsense = real.scores(in_draws(np.random.default_rng(3).integers(1, 5, size=(100, 5)).tolist()))
    for figure in ("forward", "reverse"):
        assert getattr(alike, figure).estimate == pytest.approx(own.forward.estimate, abs=0.15)
    assert nonsense.forward.estimate > alike.forward.estimate + 0.5
    assert repeated.forward.estimate < alike.forward.estimate  # likely, and nothing else
    assert repeated.reverse.estimate > alike.reverse.estimate + 1
    for worse in (repeated, nonsense):
        assert worse.frechet.estimate > 3 * alike.frechet.estimate
    # Of 50 copies of one text each n-gram is new once.
    assert [repeated.unique[n].estimate for n in (2, 3, 4)] == pytest.approx([1 / SIZE] * 3)
    assert repeated.unique[2].low == repeated.unique[2].high


def test_scores_are_those_of_two_models_of_as_many_texts(real):
    """The one of real text learns from texts chosen by the seed, here all of them."""
    assert sorted(real.learnt) == sorted(REAL)
    texts = counting(100, 2)
    expected = language_model_scores(real.learnt, HELD_OUT, texts, vocabulary_size=10, start=0, config=SMALL)
    found = real.scores(in_draws(texts))
    assert (found.forward, found.reverse) == (expected.forward, expected.reverse)
    assert real.own().forward == real.own().reverse == expected.real


def test_chance_is_left_as_it_was(real):
    state = torch.get_rng_state()
    real.scores(in_draws(counting(100, 2)))
    RealTexts(REAL[:10], HELD_OUT, draws=1, size=8, vocabulary_size=10, start=0, config=SMALL)
    assert torch.equal(torch.get_rng_state(), state)


def test_where_there_are_fewer_real_texts_all_draws_are_as_small(monkeypatch):
    """The distance and the shares depend on it, and a model of more texts is a better one."""
    learnt: list[int] = []
    train = module.trained_judge

    def counted(texts, *rest):
        learnt.append(len(texts))
        return train(texts, *rest)

    monkeypatch.setattr(module, "trained_judge", counted)
    brief = dataclasses.replace(SMALL, epochs=1)
    few = RealTexts(REAL[:20], HELD_OUT, draws=DRAWS, size=SIZE, vocabulary_size=10, start=0, config=brief)
    scores = few.scores(in_draws([[1, 2, 3, 9]] * 100))
    assert few.size == 20 and learnt == [20, 20]
    assert scores.unique[2].estimate == pytest.approx(1 / 20)
    assert few.own().frechet.low == few.own().frechet.high  # one draw


def test_vectors_are_means_over_the_states_that_follow_each_token(real):
    draw = counting(5, 4)
    judge = real._judge
    states = [judge(torch.tensor([[0, *ids]])).hidden[0].mean(0) for ids in draw]
    found = frechet_distance(torch.stack(states).detach().numpy(), real._vectors)
    one = real._scores([draw], real.own().forward, real.own().reverse).frechet.estimate
    assert one == pytest.approx(found, rel=1e-4)
    assert len(real._vectors) == len(HELD_OUT)


@pytest.mark.parametrize(("learnt", "held_out", "size"), [(1, 5, 5), (5, 1, 5), (5, 5, 1)])
def test_too_few_texts(learnt, held_out, size):
    with pytest.raises(DataError, match="compared with real ones"):
        RealTexts(REAL[:learnt], HELD_OUT[:held_out], draws=2, size=size, vocabulary_size=10, start=0)
