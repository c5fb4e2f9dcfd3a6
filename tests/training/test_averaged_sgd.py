"""NT-ASGD: the trigger of algorithm 1, the mean it starts, and a run that is resumed around it."""

import dataclasses
import pathlib

import pytest
import torch
from torch import nn

from tests.training.kill import assert_survives_kills
from tests.training.toys import VOCABULARY, batch, learner_of
from trivium.checkpoints.resume import read_resume
from trivium.data.batches import CausalBatch
from trivium.data.shards import TokenStore
from trivium.data.varied_stream import VariedStreamSource
from trivium.errors import ConfigError
from trivium.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.causal import causal
from trivium.training.averaged_sgd import NonMonotoneAverage
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig, build_optimisers
from trivium.training.schedules import ScheduleConfig


def triggered_at(losses: list[float], interval: int) -> int | None:
    """The number of the evaluation that began the average."""
    average = NonMonotoneAverage({"w": nn.Parameter(torch.zeros(1))}, interval)
    for number, loss in enumerate(losses):
        average.heed(loss)
        if average.triggered:
            return number
    return None


def test_the_trigger_is_that_of_the_paper() -> None:
    """Algorithm 1: if t > n and v > min over l in 0 .. t - n - 1 of logs[l]."""
    losses = [5.0, 4.0, 3.0, 3.5, 3.1, 2.9, 3.05, 2.95, 3.2, 2.9]
    for interval in range(6):
        wanted = None
        for t, v in enumerate(losses):
            if t > interval and v > min(losses[: t - interval]):
                wanted = t
                break
        assert triggered_at(losses, interval) == wanted
    assert [triggered_at(losses, n) for n in (0, 2, 5)] == [3, 6, 8]
    assert triggered_at([3.0, 2.0, 1.0], 0) is None
    assert triggered_at([float("nan"), 1.0, float("nan"), float("inf")], 0) is None


def test_the_mean_of_the_iterates_from_the_trigger_on() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    average = NonMonotoneAverage({"w": weight}, 0)
    values = [2.0, 5.0, -3.0, 4.0, 11.0]
    for updates, value in enumerate(values, start=1):
        with torch.no_grad():
            weight.fill_(value)
        average.update(updates)
        if updates == 2:
            average.heed(1.0)
            with average.in_place():
                assert weight.item() == 5.0  # nothing is averaged yet
            average.heed(2.0)
            average.heed(9.0)  # once is enough
    with average.in_place():
        assert weight.item() == pytest.approx(sum(values[1:]) / 4, rel=1e-12)
    assert weight.item() == 11.0


def nt_asgd(model: nn.Module, **settings) -> SupervisedLearner:
    optimiser = OptimiserConfig(kind="sgd", learning_rate=1.0, weight_decay=1e-4)
    plain = ScheduleConfig(kind="constant", warmup_steps=0)
    return learner_of(model, optimiser=optimiser, schedule=plain, non_monotone_evaluations=0, **settings)


def small() -> LSTM:
    torch.manual_seed(1)
    return LSTM(LSTMConfig(vocabulary_size=VOCABULARY, width=8, layers=1, dropout=0.0))


def test_evaluated_and_published_by_the_mean() -> None:
    learner = nt_asgd(small())
    learner.step(batch(0))
    assert all(torch.equal(value, learner.model.state_dict()[name]) for name, value in learner.weights().items())
    learner.heed(1.0)
    learner.heed(2.0)
    iterates = [learner.weights()]
    for number in (1, 2):
        learner.step(batch(number))
        iterates.append({name: tensor.clone() for name, tensor in learner.model.state_dict().items()})
    for name, published in learner.weights().items():
        torch.testing.assert_close(published, sum(w[name] for w in iterates) / 3)
    own = learner.model.state_dict()["head.bias"].clone()
    total, count = learner.evaluate(batch(9))
    assert torch.equal(learner.model.head.bias, own)
    model = small()
    model.load_state_dict(learner.weights())
    loss = causal(model.eval(), batch(9))
    assert (loss.total.item(), loss.count.item()) == (total, count)


def test_resumes_before_and_after_the_trigger() -> None:
    whole = nt_asgd(small())
    for number, loss in enumerate([3.0, 2.0, 2.5, 1.0]):
        tensors, state = whole.state_dict()
        resumed = nt_asgd(small())
        resumed.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, state)
        for learner in (whole, resumed):
            learner.step(batch(number))
            learner.heed(loss)
            learner.step(batch(number + 10))
        ours, theirs = whole.weights(), resumed.weights()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert resumed.state_dict()[1] == whole.state_dict()[1]


def test_gradient_descent_is_plain() -> None:
    """w <- w - rate (g + decay w) for matrices, without the decay for biases, and nothing is remembered."""
    model = small().double()
    optimisers = build_optimisers(model, OptimiserConfig(kind="sgd", learning_rate=0.5, weight_decay=0.1))
    causal(model, batch(0)).total.backward()
    wanted = {
        name: p.detach() - 0.5 * (p.grad + (0.1 * p.detach() if p.ndim == 2 else 0.0))
        for name, p in model.named_parameters()
    }
    optimisers.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), wanted[name], rtol=0, atol=1e-14)
    assert optimisers.state_tensors() == {}


def test_the_rate_follows_the_length_of_the_rows() -> None:
    learner = nt_asgd(small(), full_rate_tokens=24)
    assert learner.step(batch(0))["learning_rate"] == 0.5  # rows of 12 tokens


def awd_job() -> tuple[SupervisedLearner, VariedStreamSource, list[CausalBatch]]:
    """The whole recipe of the paper; it has seen a loss of 0, so that the first evaluation begins the average."""
    config = SupervisedConfig(
        optimiser=OptimiserConfig(kind="sgd", learning_rate=5.0, weight_decay=1.2e-6),
        schedule=ScheduleConfig(kind="constant", warmup_steps=0),
        clip_norm=0.25,
        non_monotone_evaluations=0,
        full_rate_tokens=10,
        carry=True,
        micro_batches=2,
    )
    model = AWDLSTM(AWDLSTMConfig(vocabulary_size=VOCABULARY, width=8, layers=2, embedding_width=6))
    text = TokenStore.of([[(7 * i) % 31 for i in range(311)]], vocabulary_size=VOCABULARY)
    learner = SupervisedLearner(model, causal, config, steps=20)
    learner.heed(0.0)
    return learner, VariedStreamSource(text, context_tokens=10, rows=4), [batch(1000)]


def test_killed_anywhere_the_recipe_goes_on_bit_for_bit(tmp_path: pathlib.Path) -> None:
    assert_survives_kills(awd_job, tmp_path, 8)
    _, state = read_resume(tmp_path / "whole" / "checkpoints" / "last")
    average = state["learner"]["average"]
    assert (average["count"], len(average["losses"])) == (3, 2)  # evaluated after updates 4 and 6 of 6


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="averaged in one way only"):
        SupervisedConfig(ema_decay=0.9, non_monotone_evaluations=5)
    with pytest.raises(ConfigError, match="full_rate_tokens must be at least 1"):
        dataclasses.replace(SupervisedConfig(), full_rate_tokens=0)
    with pytest.raises(ConfigError, match="interval must not be negative"):
        NonMonotoneAverage({}, -1)
