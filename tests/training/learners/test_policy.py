"""PPO through its learner: exact ratios, the direction of reward and penalty, resuming, skipping."""

import copy

import pytest
import torch
from torch import Tensor, nn

from trivium.data.batches import RolloutBatch
from trivium.errors import ConfigError, DataError, NonFiniteError
from trivium.generation.ancestral import sample
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import PenaltyConfig, PolicyConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.references import separate
from trivium.training.schedules import ScheduleConfig

V = 9


def build(kind: str = "gpt2", dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(3)
    if kind == "lstm":
        return LSTM(LSTMConfig(vocabulary_size=V, width=16, layers=1, dropout=dropout, tied=False))
    return GPT2(GPT2Config(vocabulary_size=V, width=16, layers=1, heads=2, context_tokens=12, dropout=dropout))


def config(**changes: object) -> PolicyConfig:
    given = {
        "optimiser": OptimiserConfig(learning_rate=5e-3, weight_decay=0.0),
        "schedule": ScheduleConfig(kind="constant", warmup_steps=0),
        "penalty": PenaltyConfig(weight=0.0),
        **changes,
    }
    return PolicyConfig(**given)


def write(model: nn.Module, rows: int = 8, length: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Texts of unequal length that the model samples after a start token."""
    model.eval()
    start = torch.arange(rows)[:, None] % V
    lengths = 1 + torch.arange(rows) % length + 1
    return torch.cat([start, sample(model, start, length)], 1), lengths, torch.ones(rows, dtype=torch.long)


def rollout(learner: PolicyLearner, rows: int = 8) -> RolloutBatch:
    """One reward for each text: how much of it is the token 4."""
    tokens, lengths, prompts = write(learner.model, rows)
    inside = (torch.arange(tokens.shape[1]) < lengths[:, None]) & (torch.arange(tokens.shape[1]) >= 1)
    rewards = ((tokens == 4) & inside).sum(1) / (lengths - 1)
    return learner.rollout(tokens, lengths, prompts, rewards)


@pytest.mark.parametrize("parts", [(1, 1), (1, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["gpt2", "lstm"])
def test_ratios_are_exactly_one_before_the_first_update(kind: str, parts: tuple[int, int]):
    """Bit for bit, though the model was built with dropout (trl #454)."""
    mini_batches, micro_batches = parts
    model = build(kind, dropout=0.3)
    learner = PolicyLearner(model, config(mini_batches=mini_batches, micro_batches=micro_batches), steps=4)
    for _ in range(2):
        assert learner.step(rollout(learner))["first_ratio_deviation"] == 0.0


def test_reward_is_found():
    learner = PolicyLearner(build(), config(), steps=30)
    rewards = [learner.step(rollout(learner, 32))["reward"] for _ in range(30)]
    assert sum(rewards[-5:]) / 5 > 3 * sum(rewards[:5]) / 5
    assert sum(rewards[-5:]) / 5 > 0.5


def divergence(model: nn.Module, reference: nn.Module) -> float:
    """The true KL(model || reference) of the next token, averaged over contexts."""
    contexts = torch.randint(0, V, (64, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (torch.log_softmax(m.eval().head(m(contexts).hidden), -1) for m in (model, reference))
    return float((ours.exp() * (ours - theirs)).sum(-1).mean())


def test_the_penalty_pulls_towards_the_reference():
    """With no reward but the penalty, the divergence falls; with its sign turned it would rise (verl, RAGEN #58)."""
    model = build()
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    before = divergence(model, reference)
    learner = PolicyLearner(model, config(penalty=PenaltyConfig(weight=1.0)), steps=30, reference=separate(reference))
    for _ in range(30):
        tokens, lengths, prompts = write(model, 32)
        metrics = learner.step(learner.rollout(tokens, lengths, prompts, torch.zeros(32)))
        assert metrics["kl_k3"] >= 0
    assert divergence(model, reference) < 0.5 * before
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_the_penalty_is_adapted():
    model = build()
    far = copy.deepcopy(model)
    with torch.no_grad():
        far.embedding.weight.mul_(-20)
    penalty = PenaltyConfig(weight=0.1, target=0.01, horizon=80)
    learner = PolicyLearner(model, config(penalty=penalty), steps=2, reference=separate(far))
    first = learner.step(rollout(learner))
    assert first["kl"] > 0.1
    assert first["kl_weight"] == pytest.approx(0.1)
    assert learner.step(rollout(learner))["kl_weight"] == pytest.approx(0.1 * 1.02)


def test_micro_batches_change_nothing():
    ends = []
    for micro_batches in (1, 3):
        model = build().double()
        learner = PolicyLearner(model, config(micro_batches=micro_batches, epochs=2), steps=2)
        torch.manual_seed(7)
        learner.step(rollout(learner))
        ends.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_resumed_it_goes_on_bit_for_bit():
    def fresh() -> PolicyLearner:
        chosen = config(mini_batches=2, penalty=PenaltyConfig(weight=0.1, target=0.5, horizon=100))
        return PolicyLearner(build(), chosen, steps=6, reference=separate(build("lstm")))

    learner = fresh()
    for _ in range(3):
        learner.step(rollout(learner))
    tensors, state = learner.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    generator = torch.get_rng_state()
    expected = [learner.step(rollout(learner)) for _ in range(3)]
    resumed = fresh()
    resumed.load_state_dict(tensors, state)
    torch.set_rng_state(generator)
    assert [resumed.step(rollout(resumed)) for _ in range(3)] == expected
    for name, tensor in learner.state_dict()[0].items():
        assert torch.equal(tensor, resumed.state_dict()[0][name]), name


def test_evaluation_changes_nothing():
    learner = PolicyLearner(build(), config(), steps=2)
    batch = rollout(learner)
    generator = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in learner.state_dict()[0].items()}
    total, count = learner.evaluate(batch)
    assert count == batch.num_tokens
    assert abs(total) < 100
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict()[0].items())
    assert set(learner.weights()) == set(build().state_dict())


def test_what_is_not_finite_is_skipped():
    learner = PolicyLearner(build(), config(epochs=1, skips_in_a_row=1), steps=4)
    before = {name: tensor.clone() for name, tensor in learner.state_dict()[0].items()}
    tokens, lengths, prompts = write(learner.model)
    poisoned = learner.rollout(tokens, lengths, prompts, torch.full((8,), float("nan")))
    assert learner.step(poisoned)["skipped"] == 1.0
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict()[0].items())
    with pytest.raises(NonFiniteError, match="policy"):
        learner.step(poisoned)


def test_errors():
    learner = PolicyLearner(build(), config(), steps=2)
    batch = rollout(learner)
    batch.rewards[0, 0] = 1.0
    with pytest.raises(DataError, match="did not choose"):
        learner.step(batch)
    for wrong in ({"epochs": 0}, {"temperature": 0.0}):
        with pytest.raises(ConfigError):
            config(**wrong)
