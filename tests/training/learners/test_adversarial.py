"""All games through the one learner: turns, waiting, resuming, what is refused."""

import logging
import math
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


class TestHowMuchRewardsDiffer:
    """Where they hardly do a generator learns nothing by them, so that it is told of every method that has rewards."""

    @staticmethod
    def told(method: str, monkeypatch: pytest.MonkeyPatch, judged: Any, **options: Any) -> list[dict[str, float]]:
        """Two steps, in two parts, in which the discriminator says `judged` of texts numbered from 0."""
        asked = f"trivium.training.adversarial.{method}.{'log_odds' if method == 'maligan' else 'realness'}"
        monkeypatch.setattr(asked, lambda _, texts, __: judged(torch.arange(len(texts)).float()))
        both = learner(method, {"parts": 2, **options}, discriminator_updates=1)
        return [both.step(real(8)) for _ in range(2)]

    def test_coldgan(self, monkeypatch):
        """0.2 and 0.6 in turn."""
        for told in self.told("coldgan", monkeypatch, lambda text: 0.2 + 0.4 * (text % 2)):
            assert (told["reward"], told["reward_deviation"]) == pytest.approx((0.4, 0.2), abs=1e-6)

    def test_maligan(self, monkeypatch):
        """Odds of 1 and 3 in turn are weights of 1/2 and 3/2, less a baseline of 0 in the first step and 1 then."""
        for told in self.told("maligan", monkeypatch, lambda text: (text % 2) * math.log(3.0), baseline_steps=1):
            assert told["reward_deviation"] == pytest.approx(0.5, abs=1e-6) and "reward" not in told

    @pytest.mark.parametrize("rescale", [True, False])
    def test_leakgan(self, monkeypatch, rescale):
        """Before ranks stand for the values, whose own differences are those of chance."""
        options = {"likelihood_every": 0, "rescale": rescale}
        for told in self.told("leakgan", monkeypatch, lambda text: 0.3 + 1e-6 * torch.rand_like(text), **options):
            assert told["reward"] == pytest.approx(0.3, abs=1e-5) and told["reward_deviation"] < 1e-3

    def test_seqgan(self, monkeypatch):
        """All endings are worth the same."""
        for told in self.told("seqgan", monkeypatch, lambda text: torch.full_like(text, 0.25)):
            assert (told["reward"], told["reward_deviation"]) == pytest.approx((0.25, 0.0), abs=1e-4)


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


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("seqgan", {}),
        ("seqgan", {"baseline": "position", "end_id": 2}),
        ("maligan", {"end_id": 2}),
        ("maligan", {"forcing_steps": 3, "continuations": 2}),
        ("relgan", {}),
        ("relgan", {"straight_through": True, "adversary": "hinge", "end_id": 2}),
        ("leakgan", {"likelihood_every": 0, "end_id": 2}),
        ("leakgan", {"likelihood_every": 1}),
        ("coldgan", {"end_id": 2}),
    ],
    ids=str,
)
def test_an_update_in_parts_is_the_same_update(method: str, options: dict[str, Any]):
    """What is drawn does not depend on how many parts there are, nor does what is compared over all the texts."""
    ends, told = [], []
    for parts in (1, 4):  # of six texts: two, two, one and one
        playing = game(method, dropout=0.0, parts=parts, **options)
        for network in (playing.generator, playing.discriminator, *playing.modules().values()):
            network.double()
        torch.nn.init.normal_(next(p for p in playing.generator.parameters() if p.requires_grad))
        # No dropout in likelihood training: its masks are drawn part by part.
        for module in playing.generator.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        both = AdversarialLearner(playing, config(discriminator_updates=1), steps=2)
        torch.manual_seed(7)
        told.append([both.step(real()) for _ in range(2)])
        ends.append(torch.cat([parameter.flatten() for parameter in playing.generator.parameters()]))
    assert ends[0].isfinite().all() and told[0][1]["gradient_norm"] > 1e-3
    torch.testing.assert_close(*ends, rtol=0, atol=1e-9)
    for mine, whole in zip(*told, strict=True):
        assert mine == pytest.approx(whole, rel=0, abs=1e-9)


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
