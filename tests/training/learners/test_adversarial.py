"""All games through the one learner: turns, waiting, resuming, what is refused."""

import logging
from typing import Any

import pytest
import torch

from tests.training.adversarial.games import METHODS, V, game, real
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, NonFiniteError
from trivium.objectives.seqgan import SeqGANConfig
from trivium.training.adversarial.seqgan import SeqGAN
from trivium.training.learners.adversarial import AdversarialConfig, AdversarialLearner
from trivium.training.optimisers import OptimiserConfig


def config(**changes: Any) -> AdversarialConfig:
    rate = OptimiserConfig(learning_rate=1e-2, weight_decay=0.0)
    return AdversarialConfig(**{"generator": rate, "discriminator": rate, "discriminator_updates": 2, **changes})


def learner(method: str = "seqgan", options: dict[str, Any] | None = None, **changes: Any) -> AdversarialLearner:
    return AdversarialLearner(game(method, **(options or {})), config(**changes), steps=10)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_moves_both(method: str):
    both = learner(method)
    networks = [both.model, both._game.discriminator]
    before = [[parameter.clone() for parameter in network.parameters()] for network in networks]
    metrics = [both.step(real(8)) for _ in range(2)]
    for network, old in zip(networks, before, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), old, strict=True))
    assert all(metric["skipped"] == 0.0 for metric in metrics)
    assert 0 <= metrics[-1]["discriminator_correct"] <= 1
    assert 0 < metrics[-1]["unique"] <= 1
    assert metrics[-1]["tokens"] == pytest.approx(int(real(8).part(0, 4).mask.sum()))  # not texts


def test_dropout_acts_in_the_discriminators_own_updates_and_never_in_rewards():
    both = learner()
    modes: list[bool] = []
    judge = both._game.discriminator
    judge.classify.register_forward_hook(lambda module, *_: modes.append(module.training == torch.is_grad_enabled()))
    metrics = both.step(real(8))
    assert modes == [True] * (2 + 1)  # two updates, and all endings at once
    assert metrics["tokens"] == int(real(8).part(0, 4).mask.sum())
    assert 0 < metrics["reward"] < 1
    assert 0 < metrics["reward_deviation"] < 0.5


def test_the_rollout_policy_lags():
    both = learner()
    start = [parameter.clone() for parameter in both.model.parameters()]
    both.step(real(8))
    lagging = list(both._game.modules()["rollout_policy"].parameters())
    for before, lagged, now in zip(start, lagging, both.model.parameters(), strict=True):
        torch.testing.assert_close(lagged, 0.8 * before + 0.2 * now)


def test_the_discriminator_learns_to_tell():
    both = learner(options={"rollouts": 1}, discriminator_updates=20, saturated=1.0)
    metrics = [both.step(real(640)) for _ in range(3)]
    assert metrics[-1]["discriminator_correct"] > 0.8
    assert metrics[-1]["discriminator_loss"] < metrics[0]["discriminator_loss"]


def test_a_discriminator_that_is_always_right_waits(caplog: pytest.LogCaptureFixture):
    """Its weights stand still, the generator goes on, and people are told once."""
    both = learner(options={"rollouts": 1}, discriminator_updates=10, saturated=0.75)
    with caplog.at_level(logging.WARNING):
        while not both.step(real(320))["discriminator_waits"]:
            assert both._steps < 20
        before = [parameter.clone() for parameter in both._game.discriminator.parameters()]
        own = [parameter.clone() for parameter in both.model.parameters()]
        metrics = both.step(real(320))
    assert caplog.text.count("waits until it is not") == 1
    assert metrics["discriminator_waits"] == 1.0 and "discriminator_loss" not in metrics
    assert all(torch.equal(a, b) for a, b in zip(before, both._game.discriminator.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(own, both.model.parameters(), strict=True))
    with torch.no_grad():  # a generator that writes what is real is not told from it: the discriminator goes on
        both._game.sampled = lambda batch, step: _as_real(batch)
    assert both.step(real(320))["discriminator_waits"] == 0.0


def _as_real(batch: CausalBatch) -> Any:
    from trivium.training.adversarial.texts import Texts

    return Texts(batch.targets, batch.lengths)


@pytest.mark.parametrize("method", ["seqgan", "maligan", "relgan", "leakgan", "coldgan"])
def test_an_update_in_parts_is_the_same_update(method: str):
    """What is drawn is the same, so the update is, but for RelGAN's noise, which is drawn part by part."""
    ends = []
    for parts in (1, 3):
        torch.manual_seed(6)
        playing = game(method, dropout=0.0, parts=parts)
        for network in (playing.generator, playing.discriminator, *playing.modules().values()):
            network.double()
        both = AdversarialLearner(playing, config(discriminator_updates=1), steps=2)
        torch.manual_seed(7)
        for _ in range(2):
            both.step(real())
        ends.append(torch.cat([parameter.flatten() for parameter in playing.generator.parameters()]))
    assert ends[0].isfinite().all()
    if method != "relgan":
        torch.testing.assert_close(*ends, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_resumed_it_goes_on_bit_for_bit(method: str):
    options = {"coldgan": {"replayed_texts": 10, "longest_replayed": 5}, "leakgan": {"likelihood_every": 2}}
    both = learner(method, options.get(method))
    for _ in range(2):
        both.step(real(8))
    tensors, state = both.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    random = torch.get_rng_state()
    expected = [both.step(real(8)) for _ in range(2)]
    resumed = learner(method, options.get(method))
    resumed.load_state_dict(tensors, state)
    torch.set_rng_state(random)
    assert [resumed.step(real(8)) for _ in range(2)] == expected
    for name, tensor in both.state_dict()[0].items():
        assert torch.equal(tensor, resumed.state_dict()[0][name]), name


def test_evaluation_is_the_likelihood_of_real_text():
    both, batch = learner(), real()
    random = torch.get_rng_state()
    total, count = both.evaluate(batch)
    assert torch.equal(torch.get_rng_state(), random)
    with torch.no_grad():
        log_probs = torch.log_softmax(both.model.head(both.model(batch.tokens).hidden), -1)
    expected = -log_probs.gather(-1, batch.targets[..., None])[..., 0][batch.mask].sum()
    assert total == pytest.approx(float(expected), rel=1e-5)
    assert count == batch.num_tokens
    assert set(both.weights()) == set(both.model.state_dict())


def test_a_generator_with_nan_is_stopped_before_the_update():
    both = learner()
    with torch.no_grad():
        both.model.head.weight[2, 3] = float("nan")
    before = [parameter.clone() for parameter in both._game.discriminator.parameters()]
    with pytest.raises(NonFiniteError, match=r"head\.weight.*before step 1"):
        both.step(real())
    assert all(torch.equal(a, b) for a, b in zip(before, both._game.discriminator.parameters(), strict=True))


def test_one_of_the_two_may_learn_alone():
    alone = learner(generator_updates=0)
    before = [parameter.clone() for parameter in alone.model.parameters()]
    assert "discriminator_loss" in alone.step(real(8))
    assert all(torch.equal(a, b) for a, b in zip(before, alone.model.parameters(), strict=True))
    judged = learner(discriminator_updates=0)
    before = [parameter.clone() for parameter in judged._game.discriminator.parameters()]
    judged.step(real(8))
    assert all(torch.equal(a, b) for a, b in zip(before, judged._game.discriminator.parameters(), strict=True))


def test_errors():
    for wrong in (
        {"discriminator_updates": -1},
        {"generator_updates": 0, "discriminator_updates": 0},
        {"saturated": 0.5},
    ):
        with pytest.raises(ConfigError):
            AdversarialConfig(**wrong)
    for wrong in ({"rollouts": 0}, {"rollout_lag": 1.0}):
        with pytest.raises(ConfigError):
            SeqGANConfig(**wrong)
    with pytest.raises(ConfigError, match="whole batch"):
        game("textgan", parts=2)
    assert isinstance(game("seqgan"), SeqGAN) and V == 7
