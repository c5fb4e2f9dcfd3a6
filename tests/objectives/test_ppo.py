"""PPO's loss by hand and by finite differences."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.nn.value_head import ValueHead
from trivium.objectives.kl import k3
from trivium.objectives.ppo import (
    PPOBatch,
    PPOConfig,
    averaging,
    contexts,
    entropy,
    ppo,
    surrogate,
    value_loss,
)


def test_surrogate_by_hand():
    """The four cases of figure 1: the better action is rewarded up to 1 + clip, the worse one down to 1 - clip."""
    ratios = torch.tensor([1.5, 0.5, 1.5, 0.5], dtype=torch.float64)
    advantages = torch.tensor([2.0, 2.0, -2.0, -2.0], dtype=torch.float64)
    log_probs = ratios.log().requires_grad_()
    values = surrogate(log_probs, torch.zeros(4, dtype=torch.float64), advantages, 0.2)
    torch.testing.assert_close(values.detach(), torch.tensor([2.4, 1.0, -3.0, -1.6], dtype=torch.float64))
    values.sum().backward()
    torch.testing.assert_close(log_probs.grad, torch.tensor([0.0, 1.0, -3.0, 0.0], dtype=torch.float64))


def test_value_loss_by_hand():
    values = torch.tensor([1.0, 1.0, 0.1])
    old, returns = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([2.0, 0.5, 2.0])
    # held at 0.2: (0.2 - 2)^2 = 3.24 > 1; (0.2 - 0.5)^2 = 0.09 < 0.25; within the clip: (0.1 - 2)^2
    expected = torch.tensor([3.24, 0.25, 3.61]) / 2
    torch.testing.assert_close(value_loss(values, old, returns, 0.2), expected)


def test_entropy():
    assert entropy(torch.zeros(1, 8)).item() == pytest.approx(math.log(8))
    assert entropy(torch.tensor([[50.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-6)


def seen_by(model: nn.Module, tokens: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the chosen tokens, and the hidden states that they were chosen from."""
    hidden, chosen = contexts(model, tokens, lengths, mask)
    return model.head.log_prob(hidden, chosen), hidden


def build() -> tuple[nn.Module, nn.Module, PPOBatch]:
    torch.manual_seed(2)
    model = GPT2(GPT2Config(vocabulary_size=11, width=8, layers=1, heads=2, context_tokens=8)).double().eval()
    critic = ValueHead(8).double()
    nn.init.normal_(critic.output.weight)
    tokens = torch.randint(0, 11, (3, 6))
    lengths = torch.tensor([6, 4, 3])
    positions = torch.arange(6)
    mask = (positions >= torch.tensor([[2], [1], [2]])) & (positions < lengths[:, None])
    numbers = torch.randn(4, 3, 6, dtype=torch.float64)
    log_probs = torch.zeros(3, 6, dtype=torch.float64)
    log_probs[mask] = seen_by(model, tokens, lengths, mask)[0].detach() + 0.3 * numbers[0][mask]
    weights, counts = averaging(mask, "tokens", 6, log_probs)
    batch = PPOBatch(tokens, lengths, mask, log_probs, numbers[1], numbers[2], numbers[3], weights, counts)
    return model, critic, batch


def test_tokens_are_chosen_from_the_state_before_them():
    model, critic, batch = build()
    log_probs, contexts_of = seen_by(model, batch.tokens, batch.lengths, batch.mask)
    hidden = model(batch.tokens).hidden
    every = torch.log_softmax(model.head(hidden), -1)
    expected = []
    for b, t in batch.mask.nonzero().tolist():
        expected.append(every[b, t - 1, batch.tokens[b, t]])
    torch.testing.assert_close(log_probs, torch.stack(expected))
    torch.testing.assert_close(critic(contexts_of)[0], critic(hidden[0, 1]))
    with pytest.raises(AssertionError, match="given, never chosen"):
        contexts(model, batch.tokens, batch.lengths, torch.ones_like(batch.mask))


@pytest.mark.parametrize("entropy_weight", [0.0, 0.3])
def test_loss_is_the_sum_of_its_parts_and_its_gradient_is_right(entropy_weight: float):
    model, critic, batch = build()
    config = PPOConfig(value_weight=0.5, entropy_weight=entropy_weight)
    loss = ppo(model, critic, batch, config)
    mask = batch.mask
    log_probs, hidden = seen_by(model, batch.tokens, batch.lengths, mask)
    expected = -surrogate(log_probs, batch.log_probs[mask], batch.advantages[mask], 0.2).sum()
    expected = expected + 0.5 * value_loss(critic(hidden), batch.values[mask], batch.returns[mask], 0.2).sum()
    expected = expected - entropy_weight * entropy(model.head(hidden)).sum()
    torch.testing.assert_close(loss.total, expected)
    assert loss.count == mask.sum() == 8
    loss.total.backward()
    for parameter in (model.blocks[0].attention.qkv.weight, model.embedding.weight, critic.output.weight):
        direction = torch.randn_like(parameter)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * 1e-6)
                values.append(ppo(model, critic, batch, config).total)
                parameter.sub_(direction, alpha=sign * 1e-6)
        slope = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close((parameter.grad * direction).sum(), slope, rtol=1e-5, atol=1e-7)


def test_what_lies_outside_the_mask_does_not_matter():
    model, critic, batch = build()
    total = ppo(model, critic, batch, PPOConfig()).total
    for field in ("log_probs", "values", "advantages", "returns"):
        getattr(batch, field)[~batch.mask] = float("nan")
    batch.tokens[1, 4:] = 3
    assert ppo(model, critic, batch, PPOConfig()).total == total


def test_impossible_configurations():
    for name in ("clip", "value_clip"):
        with pytest.raises(ConfigError, match=name):
            PPOConfig(**{name: 0.0})
    with pytest.raises(ConfigError, match="entropy_weight"):
        PPOConfig(entropy_weight=-1.0)


def test_averages_by_hand():
    """Tokens, texts, or the longest length: what a token weighs, and what the sum is divided by."""
    mask = torch.tensor([[False, True, True, True], [False, True, False, False]])
    like = torch.zeros(1)
    tokens, counts = averaging(mask, "tokens", 8, like)
    assert torch.equal(tokens, mask.float()) and counts.tolist() == [3.0, 1.0]
    texts, counts = averaging(mask, "texts", 8, like)
    torch.testing.assert_close(texts, torch.tensor([[0, 1 / 3, 1 / 3, 1 / 3], [0, 1, 0, 0]]))
    assert counts.tolist() == [1.0, 1.0]
    length, counts = averaging(mask, "length", 8, like)
    torch.testing.assert_close(length, mask.float() / 8)
    assert counts.tolist() == [1.0, 1.0]


def test_a_higher_upper_clip_lets_rare_tokens_grow():
    log_probs = torch.tensor([1.25]).log()
    held = surrogate(log_probs, torch.zeros(1), torch.ones(1), 0.2)
    freer = surrogate(log_probs, torch.zeros(1), torch.ones(1), 0.2, 0.28)
    torch.testing.assert_close(torch.cat([held, freer]), torch.tensor([1.2, 1.25]))


def test_ratios_stay_finite_however_far_the_policies_are():
    log_probs = torch.tensor([-1.0, -500.0], requires_grad=True)
    values = surrogate(log_probs, torch.tensor([-500.0, -1.0]), torch.tensor([-1.0, 1.0]), 0.2)
    values.sum().backward()
    assert bool(values.isfinite().all()) and bool(log_probs.grad.isfinite().all())


def test_the_penalty_in_the_loss_is_of_the_reference():
    model, _, batch = build()
    mask = batch.mask
    reference = torch.randn(3, 6, dtype=torch.float64)
    whole = replace(batch, reference=reference)
    log_probs, _ = seen_by(model, batch.tokens, batch.lengths, mask)
    penalised = ppo(model, None, whole, PPOConfig(), penalty=lambda own, theirs: 0.3 * k3(own, theirs))
    plain = ppo(model, None, whole, PPOConfig())
    torch.testing.assert_close(penalised.total - plain.total, 0.3 * k3(log_probs, reference[mask]).sum())
    assert "value_loss" not in plain.metrics
