"""One update after another: what is returned, skipped, averaged, carried and restored."""

import dataclasses

import pytest
import torch

from tests.training.toys import VOCABULARY, NumberedSource, batch, carried_job, learner_of, tiny_gpt2
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, NonFiniteError
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.training.learners.protocol import Learner
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig


def weights_of(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state_dict()[0].items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_what_a_step_returns() -> None:
    learner = learner_of(tiny_gpt2(), optimiser=OptimiserConfig(learning_rate=0.5))
    result = learner.step(batch(0))
    assert result["tokens"] == batch(0).num_tokens
    assert result["learning_rate"] == 0.25  # half-way through a warm-up of two
    assert result["skipped"] == 0.0
    assert 3.0 < result["loss"] < 4.0
    assert result["gradient_norm"] > 0


def test_overfits_one_batch() -> None:
    learner = learner_of(tiny_gpt2(), steps=200, optimiser=OptimiserConfig(kind="muon", learning_rate=0.01))
    losses = [learner.step(batch(0))["loss"] for _ in range(100)]
    assert losses[-1] < 0.1
    total, count = learner.evaluate(batch(0))
    assert total / count < 0.1


def poisoned(where: str, at: set[int]):
    """The causal objective, spoilt at the calls numbered in `at`."""
    calls = iter(range(10**6))

    def objective(model: torch.nn.Module, part: CausalBatch) -> Loss:
        loss = causal(model, part)
        if next(calls) not in at:
            return loss
        if where == "loss":
            return dataclasses.replace(loss, total=loss.total * float("nan"))
        parameter = model.norm.bias  # a finite loss, and one parameter with an infinite gradient
        return dataclasses.replace(loss, total=loss.total + (parameter - parameter.detach()).sqrt().sum())

    return objective


@pytest.mark.parametrize("where", ["loss", "one gradient"])
def test_an_update_that_is_not_finite_is_skipped(where: str, caplog: pytest.LogCaptureFixture) -> None:
    config = SupervisedConfig(schedule=ScheduleConfig(warmup_steps=2), micro_batches=2, ema_decay=0.9)
    learner = SupervisedLearner(tiny_gpt2(), poisoned(where, {3}), config, steps=20)
    learner.step(batch(0))
    before = weights_of(learner)
    result = learner.step(batch(1))  # the second micro-batch of the second step
    assert result["skipped"] == 1.0
    assert same(weights_of(learner), before)
    assert "update 2 of the model skipped" in caplog.text
    assert all(parameter.grad is None for parameter in learner.model.parameters())
    assert learner.step(batch(2))["skipped"] == 0.0
    assert not same(weights_of(learner), before)


def test_too_many_skips_in_a_row_stop_the_run() -> None:
    config = SupervisedConfig(schedule=ScheduleConfig(warmup_steps=2), skips_in_a_row=2)
    learner = SupervisedLearner(tiny_gpt2(), poisoned("loss", {0, 2, 3, 4}), config, steps=20)
    before = weights_of(learner)
    skips = [learner.step(batch(number))["skipped"] for number in range(4)]
    assert skips == [1.0, 0.0, 1.0, 1.0]
    assert learner.state_dict()[1] == {"updates": {"count": 4, "skips_in_a_row": 2}}
    with pytest.raises(NonFiniteError, match="3 times in a row") as error:
        learner.step(batch(4))
    assert "lower learning rate" in str(error.value)
    assert error.value.exit_code == 1
    assert not same(weights_of(learner), before)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_micro_batches_give_the_same_run(parts: int) -> None:
    runs = []
    for micro_batches in (1, parts):
        torch.manual_seed(0)
        learner = learner_of(tiny_gpt2().double(), micro_batches=micro_batches, clip_norm=0.5)
        runs.append([learner.step(batch(number)) for number in range(4)])
    for one, other in zip(*runs, strict=True):
        assert one == pytest.approx(other, abs=1e-10)


def test_the_average_is_evaluated_and_published() -> None:
    learner = learner_of(tiny_gpt2(), ema_decay=0.5)
    for number in range(3):
        learner.step(batch(number))
    own = {name: parameter.detach().clone() for name, parameter in learner.model.named_parameters()}
    published = learner.weights()
    assert not torch.equal(published["embedding.weight"], own["embedding.weight"])
    assert torch.equal(published["head.weight"], published["embedding.weight"])
    evaluated = learner.evaluate(batch(9))
    assert all(torch.equal(parameter, own[name]) for name, parameter in learner.model.named_parameters())
    learner.model.load_state_dict(published)
    loss = causal(learner.model.eval(), batch(9))
    assert evaluated == (loss.total.item(), loss.count.item())


def test_the_state_is_carried_where_rows_continue() -> None:
    """Two batches that continue give, but for the truncated gradient, the losses of one long batch."""
    torch.manual_seed(0)
    model = LSTM(LSTMConfig(vocabulary_size=VOCABULARY, width=8, layers=1, dropout=0.0)).double()
    tokens = torch.randint(0, VOCABULARY, (4, 13))

    def part(first: int, last: int, continues: bool) -> CausalBatch:
        size = last - first
        mask, lengths = torch.ones(4, size, dtype=torch.bool), torch.full((4,), size)
        inputs, targets = tokens[:, first:last], tokens[:, first + 1 : last + 1]
        return CausalBatch(inputs, targets, mask, lengths, continues=torch.full((4,), continues))

    whole = causal(model, part(0, 12, False)).total.item()
    still = OptimiserConfig(learning_rate=1e-300)
    learner = learner_of(model, carry=True, micro_batches=2, optimiser=still)
    first, second = learner.step(part(0, 6, False)), learner.step(part(6, 12, True))
    assert (first["loss"] + second["loss"]) * 24 == pytest.approx(whole, abs=1e-9)
    alone = learner.step(part(6, 12, False))
    assert abs(alone["loss"] - second["loss"]) > 1e-6
    learner.step(part(6, 12, True).split(2)[0])  # another number of rows: nothing to carry on from
    assert learner._carried.rows == 2


def test_restores_everything() -> None:
    """A learner of other weights that is given the state goes on exactly as the first does."""
    learner, source, _ = carried_job()
    for _ in range(3):
        learner.step(next(source))
    tensors, state = learner.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    assert any(name.startswith("carried/") for name in tensors)
    other, again, _ = carried_job()
    other.load_state_dict(tensors, state)
    again.load_state_dict(source.state_dict())
    for _ in range(3):
        torch.manual_seed(5)
        expected = learner.step(next(source))
        torch.manual_seed(5)
        assert other.step(next(again)) == expected
    assert same(weights_of(other), weights_of(learner))


def test_evaluation_draws_nothing_and_changes_nothing() -> None:
    learner = learner_of(tiny_gpt2(dropout=0.5), ema_decay=0.9)
    learner.step(next(NumberedSource()))
    before, generator = weights_of(learner), torch.get_rng_state()
    assert learner.evaluate(batch(0)) == learner.evaluate(batch(0))
    assert torch.equal(torch.get_rng_state(), generator)
    assert same(weights_of(learner), before)


@pytest.mark.parametrize("wrong", [{"micro_batches": 0}, {"clip_norm": 0.0}, {"skips_in_a_row": -1}])
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SupervisedConfig(**wrong)
