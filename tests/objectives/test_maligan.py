"""MaliGAN's weights by hand, which token is moved by what, and that parts add up to the whole."""

import math

import pytest
import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.maligan import MaliGANConfig, maligan, relative_weights, token_weights

LENGTHS = torch.tensor([5, 3, 5, 4])


def build() -> tuple[nn.Module, CausalBatch, torch.Tensor]:
    """A generator, four texts, and the log-probability of each of their tokens."""
    model = LSTM(LSTMConfig(vocabulary_size=7, width=8, layers=1, dropout=0.0)).double().eval()
    tokens = torch.randint(0, 7, (4, 6))
    mask = torch.arange(5) < LENGTHS[:, None]
    batch = CausalBatch(tokens=tokens[:, :5], targets=tokens[:, 1:], mask=mask, lengths=LENGTHS)
    every = torch.log_softmax(model.head(model(batch.tokens).hidden), -1)
    return model, batch, every.gather(-1, batch.targets[..., None])[..., 0]


def test_weights_are_those_of_the_paper():
    d = torch.tensor([0.9, 0.5, 0.2, 0.05], dtype=torch.float64)
    r = d / (1 - d)
    for b in (0.0, 0.4, 1.0):
        got = relative_weights(torch.logit(d), b)
        torch.testing.assert_close(got / 4, r / r.sum() - b / 4)
    assert abs(float(relative_weights(torch.logit(d), 1.0).sum())) < 1e-12
    assert float(relative_weights(torch.logit(d), 0.0).mean()) == pytest.approx(1.0)


def test_continuations_of_one_beginning_are_weighted_among_themselves():
    logits = torch.tensor([0.0, math.log(3.0), 50.0, 50.0, -9.0, -9.0])
    expected = torch.tensor([0.5, 1.5, 1.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(relative_weights(logits, 0.0, continuations=2), expected)


def test_a_discriminator_that_is_sure_makes_no_nan():
    weights = relative_weights(torch.tensor([1e4, -1e4, 1e4], dtype=torch.float32), 1.0)
    torch.testing.assert_close(weights, torch.tensor([0.5, -1.0, 0.5]))
    assert not relative_weights(torch.zeros(2, requires_grad=True), 0.0).requires_grad


def test_token_weights():
    weights = torch.tensor([2.0, 0.5])
    got = token_weights(weights, torch.tensor([4, 2]), 1, 5)
    assert torch.equal(got, torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [1.0, 0.5, 0.0, 0.0, 0.0]]))
    assert torch.equal(token_weights(weights, torch.tensor([4, 2]), 0, 4)[:, 0], weights)


def test_loss_by_hand():
    model, batch, log_probs = build()
    logits = torch.randn(4, dtype=torch.float64)
    loss = maligan(model, batch, token_weights(relative_weights(logits, 0.3), LENGTHS, 2, 5))
    r = logits.exp()
    expected = torch.zeros((), dtype=torch.float64)
    for i, length in enumerate(LENGTHS.tolist()):
        expected -= log_probs[i, :2].sum() / 4 + (r[i] / r.sum() - 0.3 / 4) * log_probs[i, 2:length].sum()
    torch.testing.assert_close(loss.total / loss.count, expected)


def test_all_forced_is_maximum_likelihood():
    model, batch, log_probs = build()
    loss = maligan(model, batch, token_weights(relative_weights(torch.randn(4), 1.0), LENGTHS, 5, 5).double())
    torch.testing.assert_close(loss.total, -log_probs[batch.mask].sum())


def test_parts_of_a_batch_add_up_to_the_whole():
    model, batch, _ = build()
    weights = token_weights(relative_weights(torch.randn(4, dtype=torch.float64), 0.5), LENGTHS, 1, 5)
    whole = maligan(model, batch, weights)
    parts = [maligan(model, batch.part(i, j), weights[i:j]) for i, j in ((0, 1), (1, 4))]
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    assert sum(part.count for part in parts) == whole.count == 4


def test_what_is_more_real_becomes_likelier_and_equal_texts_move_nothing():
    model, batch, log_probs = build()
    weights = token_weights(relative_weights(torch.tensor([3.0, 0.0, 0.0, 0.0]).double(), 1.0), LENGTHS, 0, 5)
    gradients = torch.autograd.grad(maligan(model, batch, weights).total, list(model.parameters()))
    first = torch.autograd.grad(log_probs[0].sum(), list(model.parameters()), retain_graph=True)
    others = torch.autograd.grad(log_probs[1:][batch.mask[1:]].sum(), list(model.parameters()))
    assert sum(float((-g * f).sum()) for g, f in zip(gradients, first, strict=True)) > 0
    assert sum(float((-g * f).sum()) for g, f in zip(gradients, others, strict=True)) < 0
    level = token_weights(relative_weights(torch.full((4,), 2.0).double(), 1.0), LENGTHS, 0, 5)
    for gradient in torch.autograd.grad(maligan(model, batch, level).total, list(model.parameters())):
        assert float(gradient.abs().max()) < 1e-14


def test_schedules():
    config = MaliGANConfig(baseline_steps=100, forcing_steps=10)
    assert [config.baseline(n) for n in (0, 25, 100, 500)] == [0.0, 0.25, 1.0, 1.0]
    assert [config.forced(n, 20) for n in (0, 1, 5, 10, 11)] == [20, 18, 10, 0, 0]
    assert MaliGANConfig().forced(0, 20) == 0


@pytest.mark.parametrize("wrong", [{"baseline_steps": 0}, {"forcing_steps": -1}])
def test_impossible_configurations_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MaliGANConfig(**wrong)
