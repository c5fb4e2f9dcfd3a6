"""SeqGAN's loss: which reward moves which token, and the controls."""

import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.objectives.seqgan import position_mean, seqgan


def build() -> tuple[nn.Module, CausalBatch]:
    model = LSTM(LSTMConfig(vocabulary_size=7, width=8, layers=1, dropout=0.0, tied=False)).double().eval()
    tokens = torch.randint(0, 7, (4, 6))
    lengths = torch.tensor([5, 3, 5, 4])
    mask = torch.arange(5) < lengths[:, None]
    return model, CausalBatch(tokens=tokens[:, :5], targets=tokens[:, 1:], mask=mask, lengths=lengths)


def test_by_hand():
    model, batch = build()
    rewards = torch.randn(4, 5, dtype=torch.float64)
    log_probs = torch.log_softmax(model.head(model(batch.tokens).hidden), -1)
    picked = log_probs.gather(-1, batch.targets[..., None])[..., 0]
    loss = seqgan(model, batch, rewards)
    torch.testing.assert_close(loss.total, -(picked * rewards)[batch.mask].sum())
    assert loss.count == 17
    torch.testing.assert_close(loss.metrics["reward"], rewards[batch.mask].sum())
    torch.testing.assert_close(loss.metrics["reward_squared"], rewards[batch.mask].square().sum())


def test_a_reward_at_one_position_trains_only_that_position():
    model, batch = build()
    rewards = torch.zeros(4, 5, dtype=torch.float64)
    rewards[2, 3] = 1.0
    seqgan(model, batch, rewards).total.backward()
    got = model.head.bias.grad
    expected = torch.softmax(model.head(model(batch.tokens).hidden)[2, 3], -1)
    expected[batch.targets[2, 3]] -= 1
    torch.testing.assert_close(got, expected)


def test_a_constant_reward_moves_nothing_under_the_baseline():
    """The control of every text GAN: without a baseline the same reward for all still changes the generator."""
    model, batch = build()
    rewards = torch.full((4, 5), 0.7, dtype=torch.float64)
    seqgan(model, batch, rewards, position_mean(rewards, batch.mask)).total.backward()
    assert all(parameter.grad.abs().max() < 1e-14 for parameter in model.parameters())
    seqgan(model, batch, rewards).total.backward()
    assert model.head.bias.grad.abs().max() > 0.01


def test_position_mean_counts_the_rows_that_reach_it():
    rewards = torch.tensor([[1.0, 5.0], [3.0, 100.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert torch.equal(position_mean(rewards, mask), torch.tensor([[2.0, 5.0]]))
