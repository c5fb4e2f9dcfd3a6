"""What a policy is held near, what its tokens are compared with, and at which temperature: the traps of the trade."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.learners.test_policy import V, build, rollout, write
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.clone import clone_frozen
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.routing import activate, using
from trivium.adapters.sites import ALL_LINEAR
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.data.batches import RolloutBatch
from trivium.errors import ConfigError, DataError, TriviumError, Unsupported
from trivium.objectives.ppo import PPOConfig
from trivium.training.learners.policy import PolicyLearner
from trivium.training.learners.policy_config import AdvantageConfig, PenaltyConfig, PolicyConfig, method_config
from trivium.training.optimisers import OptimiserConfig
from trivium.training.references import copied, separate, with_adapter, without_adapters

LORA = LoRAConfig(rank=2, targets=ALL_LINEAR)
FAST = OptimiserConfig(learning_rate=5e-3, weight_decay=0.0)


def adapted(kind: str = "gpt2", **changes: Any) -> nn.Module:
    model = build(kind, **changes)
    attach(model, "policy", LORA if kind == "gpt2" else LoRAConfig(rank=2, targets=("head",)))
    return model


def grouped(learner: PolicyLearner, rewards: Tensor | None = None) -> RolloutBatch:
    """Four answers to each of two prompts."""
    tokens, lengths, begins = write(learner.model, 8)
    worth = (tokens[:, 1] == 4).float() + torch.arange(8) / 9 if rewards is None else rewards
    return learner.rollout(tokens, lengths, begins, worth, groups=torch.arange(8) // 4)


@pytest.mark.parametrize("kind", ["gpt2", "lstm"])
@pytest.mark.parametrize("micro_batches", [1, 3, 8])
def test_the_divergence_is_exactly_zero_at_first(kind: str, micro_batches: int):
    """A new LoRA changes nothing, and the base rounds as the policy does, rows alone in their part too."""
    model = adapted(kind, dropout=0.2)
    config = PolicyConfig(micro_batches=micro_batches, optimiser=FAST)
    learner = PolicyLearner(model, config, steps=3, reference=without_adapters(model), begins_as_reference=True)
    first = learner.step(rollout(learner))
    assert first["kl"] == first["kl_k3"] == first["first_ratio_deviation"] == 0.0
    assert learner.step(rollout(learner))["kl_k3"] > 0


def test_a_trained_adapter_is_held_near_what_it_was_and_not_near_the_base():
    model = adapted()
    for parameter in adapter_parameters(model, "policy").values():
        nn.init.normal_(parameter, std=0.3)
    before = {name: parameter.clone() for name, parameter in adapter_parameters(model, "policy").items()}
    clone_frozen(model, "policy", "reference")
    assert adapters_of(model).routing.active == "policy"
    config = PolicyConfig(optimiser=FAST)
    learner = PolicyLearner(
        model, config, steps=3, reference=with_adapter(model, "reference"), begins_as_reference=True
    )
    assert learner.step(rollout(learner))["kl"] == 0.0
    learner.step(rollout(learner))
    kept = adapter_parameters(model, "reference")
    assert all(torch.equal(kept[name.replace("policy", "reference")], parameter) for name, parameter in before.items())
    wrong = PolicyLearner(model, config, steps=3, reference=without_adapters(model), begins_as_reference=True)
    with pytest.raises(TriviumError, match="not what its reference is"):
        wrong.step(rollout(wrong))


def test_a_clone_answers_alike_and_draws_no_chance():
    model = adapted()
    for parameter in adapter_parameters(model, "policy").values():
        nn.init.normal_(parameter, std=0.3)
    generator = torch.get_rng_state()
    clone_frozen(model, "policy", "reference")
    assert torch.equal(torch.get_rng_state(), generator)
    tokens = torch.arange(6)[None]
    with using(model, "reference"):
        theirs = model(tokens).hidden
    assert torch.equal(model(tokens).hidden, theirs)
    assert not any(parameter.requires_grad for parameter in adapter_parameters(model, "reference").values())
    with pytest.raises(ConfigError, match="name of its own"):
        clone_frozen(model, "policy", "reference")


@pytest.mark.parametrize("method", ["ppo", "grpo", "rloo", "reinforce"])
def test_every_method_finds_the_reward(method: str):
    model = build()
    config = method_config(method, optimiser=FAST, epochs=4)
    config = dataclasses.replace(config, penalty=dataclasses.replace(config.penalty, weight=0.0))
    learner = PolicyLearner(model, config, steps=40, reference=copied(model), begins_as_reference=True)
    shares = []
    for _ in range(25):
        tokens, lengths, begins = write(model, 32)
        inside = (torch.arange(tokens.shape[1]) < lengths[:, None]) & (torch.arange(tokens.shape[1]) >= 1)
        rewards = ((tokens == 4) & inside).sum(1) / (lengths - 1)
        groups = torch.arange(32) % V  # those that begin alike
        metrics = learner.step(learner.rollout(tokens, lengths, begins, rewards, groups=groups))
        shares.append(metrics["reward"])
        assert ("value_loss" in metrics) == (method == "ppo")
    assert sum(shares[-5:]) > 2 * sum(shares[:5])


def test_the_temperature_is_in_all_three_log_probabilities():
    """At first the ratio is 1 and the divergence 0 at any temperature; the policy's gradient is of the same one."""
    for temperature in (0.5, 2.0):
        model = adapted()
        config = PolicyConfig(temperature=temperature, optimiser=FAST)
        learner = PolicyLearner(model, config, steps=2, reference=without_adapters(model), begins_as_reference=True)
        batch = rollout(learner)
        plain = PolicyLearner(adapted(), PolicyConfig(optimiser=FAST), steps=2)
        assert not torch.equal(batch.log_probs, rollout(plain).log_probs)
        row, place = 4, int(batch.prompt_lengths[4])
        logits = model.head(model(batch.tokens[row : row + 1, :place]).hidden)[0, -1] / temperature
        torch.testing.assert_close(
            batch.log_probs[row, place], torch.log_softmax(logits, -1)[batch.tokens[row, place]], rtol=1e-5, atol=1e-6
        )
        metrics = learner.step(batch)
        assert metrics["kl"] == metrics["first_ratio_deviation"] == 0.0


def test_what_decoding_told_is_compared_with_the_training_pass():
    learner = PolicyLearner(build(), PolicyConfig(optimiser=FAST), steps=2)
    tokens, lengths, begins = write(learner.model)
    truth = learner.rollout(tokens, lengths, begins, torch.zeros(8)).log_probs
    off = truth.clone()
    off[3, 1] += 0.25
    batch = learner.rollout(tokens, lengths, begins, torch.zeros(8), sampled=off)
    assert learner.step(batch)["engine_deviation"] == pytest.approx(0.25, abs=1e-6)


def test_a_group_of_equal_rewards_moves_nothing():
    model = adapted()
    config = method_config("grpo", optimiser=FAST)
    config = dataclasses.replace(config, penalty=dataclasses.replace(config.penalty, weight=0.0))
    learner = PolicyLearner(model, config, steps=2)
    assert learner.step(grouped(learner, torch.ones(8)))["gradient_norm"] == 0.0
    assert learner.step(grouped(learner))["gradient_norm"] > 0.0


def test_a_penalty_in_the_loss_pulls_back():
    model = build()
    reference = separate(build("lstm"))
    penalty = PenaltyConfig(weight=2.0, estimator="k2", place="loss")
    config = method_config("reinforce", optimiser=FAST, penalty=penalty, epochs=2)
    learner = PolicyLearner(model, config, steps=40, reference=reference)
    divergences = []
    for _ in range(25):
        tokens, lengths, begins = write(model, 32)
        divergences.append(learner.step(learner.rollout(tokens, lengths, begins, torch.zeros(32)))["kl_k3"])
    assert sum(divergences[-3:]) < 0.7 * sum(divergences[:3])


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_a_critic_with_an_adapter_of_its_own(micro_batches: int):
    """It learns what to expect, and its adapter is touched by nothing but the value loss."""
    model = adapted().double()
    attach(model, "value", LORA)
    activate(model, "policy")
    config = PolicyConfig(
        micro_batches=micro_batches, optimiser=FAST, ppo=PPOConfig(value_weight=1.0), penalty=PenaltyConfig(weight=0.0)
    )
    learner = PolicyLearner(model, config, steps=2, value_adapter="value")
    before = {name: parameter.clone() for name, parameter in adapter_parameters(model, "value").items()}
    losses = []
    for _ in range(8):
        torch.manual_seed(5)
        tokens, lengths, begins = write(model)
        losses.append(learner.step(learner.rollout(tokens, lengths, begins, torch.ones(8)))["value_loss"])
    assert losses[-1] < 0.7 * losses[0]
    assert any(not torch.equal(before[name], now) for name, now in adapter_parameters(model, "value").items())
    assert adapters_of(model).routing.active == "policy"


def test_with_an_adapter_for_the_critic_micro_batches_change_nothing():
    ends = []
    for micro_batches in (1, 3):
        model = adapted().double()
        attach(model, "value", LORA)
        activate(model, "policy")
        learner = PolicyLearner(
            model, PolicyConfig(micro_batches=micro_batches, epochs=2, optimiser=FAST), steps=2, value_adapter="value"
        )
        torch.manual_seed(7)
        learner.step(rollout(learner))
        ends.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


def test_only_what_is_learnt_is_saved():
    model = adapted()
    learner = PolicyLearner(model, PolicyConfig(optimiser=FAST), steps=2, reference=without_adapters(model))
    tensors, _ = learner.state_dict()
    saved = [name for name in tensors if name.startswith("both/policy.")]
    assert saved and all("updates" in name for name in saved)


def test_a_copy_is_frozen_and_apart():
    model = build()
    reference = copied(model)
    with reference() as network:
        assert network is not model and not any(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_errors():
    learner = PolicyLearner(build(), PolicyConfig(optimiser=FAST), steps=2)
    tokens, _, begins = write(learner.model)
    with pytest.raises(DataError, match="no tokens"):
        learner.rollout(tokens, begins, begins, torch.zeros(8))
    for wrong in (
        lambda: PenaltyConfig(place="loss", estimator="k1"),
        lambda: PenaltyConfig(weight=-1.0),
        lambda: PenaltyConfig(target=0.0),
        lambda: AdvantageConfig(trace=1.5),
        lambda: PPOConfig(clip_high=0.0),
        lambda: method_config("dpo"),
    ):
        with pytest.raises(ConfigError):
            wrong()


def test_a_learnt_prompt_is_no_policy():
    """Decoding would begin with it and the training pass would not: the two would be other distributions."""
    model = build()
    attach(model, "policy", SoftPromptConfig(tokens=2))
    with pytest.raises(Unsupported, match="learnt prompt"):
        PolicyLearner(model, PolicyConfig(optimiser=FAST), steps=2)
