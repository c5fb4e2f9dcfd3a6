"""ColdGANs: over all nine texts of two tokens out of three, the weighted gradient is the generator's own, exactly."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.nn.inverse_cdf import draw
from trivium.objectives.coldgan import (
    ColdConfig,
    behaviour,
    coldgan,
    corrections,
    importance_weights,
    log_ratios,
    policies,
)

TEXTS = torch.tensor(list(itertools.product(range(3), repeat=2)))
LENGTHS = torch.full((9,), 2)
REWARDS = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
UNCLIPPED = 1e9
CONFIGS = [
    ColdConfig(temperature=0.3, clip=UNCLIPPED),
    ColdConfig(temperature=0.3, clip=UNCLIPPED, mixture="tokens"),
    ColdConfig(temperature=0.5, top_p=0.6, epsilon=0.2, exploring_temperature=1.5, clip=UNCLIPPED),
    ColdConfig(temperature=0.5, top_p=0.6, epsilon=0.2, exploring_temperature=1.5, clip=UNCLIPPED, mixture="tokens"),
]


def build() -> tuple[nn.Module, CausalBatch, Tensor]:
    """A generator, all texts, and the logits that each of their tokens is drawn from."""
    model = LSTM(LSTMConfig(vocabulary_size=3, width=6, layers=1, dropout=0.0)).double().eval()
    nn.init.normal_(model.head.weight, std=3.0)
    starts = torch.zeros(9, 1, dtype=torch.long)
    tokens = torch.cat([starts, TEXTS[:, :1]], dim=1)
    batch = CausalBatch(tokens=tokens, targets=TEXTS, mask=torch.ones(9, 2, dtype=torch.bool), lengths=LENGTHS)
    return model, batch, model.head.logits(model(tokens).hidden)


def chosen(probabilities: Tensor) -> Tensor:
    return probabilities.gather(-1, TEXTS[..., None])[..., 0]


def plain_cold(logits: Tensor, config: ColdConfig) -> Tensor:
    """The cold policy, token by token and with nothing but sorting."""
    cold = torch.softmax(logits / config.temperature, -1)
    for row in cold.view(-1, cold.shape[-1]):
        order, mass = sorted(range(len(row)), key=lambda v: -float(row[v])), 0.0
        for v in order:
            if mass >= config.top_p:
                row[v] = 0.0
            mass += float(row[v])
        row /= row.sum()
    return cold


def behaviour_of_texts(logits: Tensor, config: ColdConfig) -> Tensor:
    """The probability with which each text is drawn, by its definition."""
    cold = chosen(plain_cold(logits.detach().clone(), config))
    exploring = chosen(torch.softmax(logits.detach() / config.exploring_temperature, -1))
    if config.mixture == "tokens":
        return ((1 - config.epsilon) * cold + config.epsilon * exploring).prod(1)
    return (1 - config.epsilon) * cold.prod(1) + config.epsilon * exploring.prod(1)


def on_policy(model: nn.Module, logits: Tensor) -> list[Tensor]:
    """Gradient of -E[D], over all texts."""
    expected = (chosen(torch.softmax(logits, -1)).prod(1) * REWARDS).sum()
    return list(torch.autograd.grad(-expected, list(model.parameters()), retain_graph=True))


def expectation(model: nn.Module, batch: CausalBatch, chances: Tensor, weights: Tensor) -> list[Tensor]:
    """Gradient of the loss of every text, each as often as it is drawn."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(9):
        loss = coldgan(model, batch.part(i, i + 1), REWARDS[i : i + 1], weights[i : i + 1])
        total = total + chances[i] * loss.total / loss.count
    return list(torch.autograd.grad(total, list(model.parameters())))


@pytest.mark.parametrize("config", CONFIGS)
def test_unclipped_weights_give_the_on_policy_gradient(config: ColdConfig):
    model, batch, logits = build()
    expected = on_policy(model, logits)
    chances = behaviour_of_texts(logits, config)
    assert float(chances.sum()) == pytest.approx(1.0)
    ratios = log_ratios(logits, TEXTS, LENGTHS, config)
    own = chosen(torch.softmax(logits.detach(), -1)).prod(1)
    torch.testing.assert_close(ratios.sum(1).exp(), own / chances)
    got = expectation(model, batch, chances, importance_weights(ratios, config.clip))
    for mine, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, exact, atol=1e-12, rtol=1e-9)
    assert max(float(exact.abs().max()) for exact in expected) > 0.01


@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_clipped_is_missing_and_the_correction_gives_it_back(config: ColdConfig):
    model, batch, logits = build()
    expected = on_policy(model, logits)
    chances, own = behaviour_of_texts(logits, config), chosen(torch.softmax(logits.detach(), -1)).prod(1)
    ratios = log_ratios(logits, TEXTS, LENGTHS, config)
    clip = 1.2
    weights = importance_weights(ratios, clip)
    torch.testing.assert_close(weights, (own / chances).clamp(max=clip))
    clipped = expectation(model, batch, chances, weights)
    correction = expectation(model, batch, own, corrections(ratios, clip))
    assert max(float((c - e).abs().max()) for c, e in zip(clipped, expected, strict=True)) > 1e-3
    for part, rest, exact in zip(clipped, correction, expected, strict=True):
        torch.testing.assert_close(part + rest, exact, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("config", CONFIGS)
def test_texts_are_drawn_as_often_as_the_weights_assume(config: ColdConfig):
    """The loop that draws, 100,000 times."""
    model, _, _ = build()
    count = 100_000
    with torch.no_grad():
        table = torch.stack([model.head.logits(model(torch.tensor([[0, v]])).hidden)[0] for v in range(3)])  # [V, 2, V]
    explores = torch.rand(count) < config.epsilon
    first = draw(behaviour(table[0, 0].expand(count, 3), explores, config), torch.rand(count))
    second = draw(behaviour(table[first, 1], explores, config), torch.rand(count))
    shares = torch.bincount(3 * first + second, minlength=9) / count
    expected = behaviour_of_texts(torch.stack([table[0, 0].expand(9, 3), table[TEXTS[:, 0], 1]], 1), config)
    torch.testing.assert_close(shares.double(), expected, atol=0.006, rtol=0)


@pytest.mark.parametrize("config", CONFIGS)
def test_ratios_of_tokens_are_those_of_the_conditional_behaviour(config: ColdConfig):
    _, _, logits = build()
    chances = behaviour_of_texts(logits, config)
    own = chosen(torch.softmax(logits.detach(), -1))
    ratios = log_ratios(logits, TEXTS, LENGTHS, config).exp()
    for i in range(9):
        first = chances[TEXTS[:, 0] == TEXTS[i, 0]].sum()  # of all texts that begin as this one does
        assert float(ratios[i, 0]) == pytest.approx(float(own[i, 0] / first))
        assert float(ratios[i, 1]) == pytest.approx(float(own[i, 1] / (chances[i] / first)))


@pytest.mark.parametrize("mixture", ["texts", "tokens"])
def test_lengths_cut_the_product(mixture):
    _, _, logits = build()
    config = ColdConfig(temperature=0.3, mixture=mixture)
    whole = log_ratios(logits, TEXTS, LENGTHS, config)
    short = log_ratios(logits, TEXTS, torch.tensor([1] * 8 + [2]), config)
    torch.testing.assert_close(short[:, 0], whole[:, 0])
    assert float(short[:8, 1].abs().max()) < 1e-15 and torch.equal(short[8], whole[8])
    assert not short.requires_grad


def test_a_weight_of_a_mixture_of_texts_is_at_most_one_over_epsilon():
    logits = 4 * torch.randn(50, 30, 6)
    texts, lengths = torch.randint(0, 6, (50, 30)), torch.full((50,), 30)
    weight = {
        mixture: log_ratios(logits, texts, lengths, ColdConfig(top_p=0.5, mixture=mixture)).sum(1)
        for mixture in ("texts", "tokens")
    }
    assert float(weight["texts"].max()) == pytest.approx(math.log(10.0), abs=1e-3)
    assert float(weight["tokens"].max()) > 20
    assert weight["tokens"].isfinite().all()


def test_policies_by_hand():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    cold, exploring = policies(logits, ColdConfig(temperature=0.5))
    torch.testing.assert_close(cold.exp(), torch.tensor([25.0, 9.0, 4.0]).double() / 38)
    torch.testing.assert_close(exploring, logits)
    cold, _ = policies(logits, ColdConfig(temperature=1.0, top_p=0.6))
    torch.testing.assert_close(cold.exp(), torch.tensor([0.625, 0.375, 0.0]).double())
    cold, _ = policies(logits, ColdConfig(temperature=1.0, top_p=0.1))
    torch.testing.assert_close(cold.exp(), torch.tensor([1.0, 0.0, 0.0]).double())
    tied, _ = policies(torch.zeros(4), ColdConfig(temperature=1.0, top_p=0.5))
    assert torch.equal(tied.exp(), torch.tensor([0.5, 0.5, 0.0, 0.0]))


def test_loss_by_hand():
    model, batch, logits = build()
    weights, rewards = torch.rand(9).double().requires_grad_(), REWARDS.clone().requires_grad_()
    loss = coldgan(model, batch, rewards, weights)
    expected = -(weights * rewards * chosen(torch.log_softmax(logits, -1)).sum(1)).sum()
    torch.testing.assert_close(loss.total, expected)
    loss.total.backward()
    assert weights.grad is None and rewards.grad is None
    assert loss.count == 9
    torch.testing.assert_close(loss.metrics["reward"], rewards.detach().sum())
    torch.testing.assert_close(loss.metrics["weight"], weights.detach().sum())


def test_all_exploring_is_the_generator_itself():
    _, _, logits = build()
    for mixture in ("texts", "tokens"):
        ratios = log_ratios(logits, TEXTS, LENGTHS, ColdConfig(epsilon=1.0, mixture=mixture))
        assert float(ratios.abs().max()) < 1e-12


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"exploring_temperature": -1.0},
        {"clip": 0.0},
        {"clip": math.inf},
        {"top_p": 0.0},
        {"epsilon": 0.0},
        {"epsilon": 1.5},
        {"replayed_texts": -1},
        {"longest_replayed": 0},
    ],
)
def test_impossible_configurations_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ColdConfig(**wrong)
