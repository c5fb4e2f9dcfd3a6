"""What each game gives to learn from: by hand where a hand can do it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.adversarial.games import METHODS, game, real
from trivium.errors import ConfigError
from trivium.models.leakgan import LeakGAN
from trivium.objectives.coldgan import ColdConfig
from trivium.objectives.loss import Loss
from trivium.training.adversarial import coldgan
from trivium.training.adversarial.replay import Replay
from trivium.training.adversarial.texts import Texts, as_batch, drawn, ended, frozen


def gradients(loss: Loss, module: nn.Module) -> list[Tensor]:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    total = sum(loss.auxiliary.values(), start=loss.total)
    found = torch.autograd.grad(total, trained, allow_unused=True)
    return [each for each in found if each is not None]


@pytest.mark.parametrize("method", METHODS)
def test_each_learns_from_its_own_loss_and_leaves_the_other(method: str):
    playing, batch = game(method), real(8)
    texts = playing.sampled(batch, 1)
    assert texts.tokens.shape == batch.targets.shape
    assert not texts.read.requires_grad
    against = playing.against(batch, texts)
    assert gradients(against, playing.discriminator) and not gradients(against, playing.generator)
    assert 0 <= float(against.metrics["correct"]) <= float(against.count)
    for loss in playing.written(batch, 1):
        found = gradients(loss, playing.generator)
        assert found and any(each.abs().sum() > 0 for each in found)
        assert all(parameter.grad is None for parameter in playing.discriminator.parameters())
    assert all(p.requires_grad for p in playing.discriminator.parameters()), "frozen for the moment only"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end_id", [None, 2])
def test_texts_end_as_the_real_ones_or_where_they_say(method: str, end_id: int | None):
    playing, batch = game(method, end_id=end_id), real(12)
    texts = playing.sampled(batch, 0)
    expected = batch.lengths if end_id is None else ended(texts.tokens, end_id)
    assert torch.equal(texts.lengths, expected)


def test_ends():
    tokens = torch.tensor([[1, 2, 3, 2], [2, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 2]])
    assert ended(tokens, 2).tolist() == [2, 1, 4, 4]


def test_texts_as_a_batch():
    texts = Texts(torch.tensor([[3, 4, 5], [6, 1, 2]]), torch.tensor([3, 2]))
    batch = as_batch(torch.zeros(2, 1, dtype=torch.long), texts)
    assert batch.tokens.tolist() == [[0, 3, 4], [0, 6, 1]]
    assert batch.mask.tolist() == [[True, True, True], [True, True, False]]
    assert texts.unique == 1.0
    assert Texts(torch.tensor([[3, 4], [3, 5]]), torch.tensor([1, 1])).unique == 0.5


def test_frozen_parts_pass_gradients_on():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    x = torch.randn(3, 2, requires_grad=True)
    with frozen(layer):
        layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None
    assert layer.weight.requires_grad and not layer.bias.requires_grad


def test_rewards_of_controls_do_not_ask_the_discriminator():
    for reward in ("constant", "random"):
        playing = game("seqgan", reward=reward)
        asked: list[int] = []
        playing.discriminator.classify.register_forward_hook(lambda *_, asked=asked: asked.append(1))
        (loss,) = playing.written(real(), 0)
        assert not asked
        mean = float(loss.metrics["reward"] / loss.count)
        assert mean == 1.0 if reward == "constant" else 0.2 < mean < 0.8


def test_maligan_goes_on_from_real_beginnings():
    playing, batch = game("maligan", forcing_steps=10, continuations=2), real(8)
    texts = playing._continued(batch, 3)
    assert torch.equal(texts.tokens[:, :3], batch.targets[torch.arange(4).repeat_interleave(2), :3])
    whole = playing._continued(batch, 5)
    assert torch.equal(whole.tokens, batch.targets[torch.arange(4).repeat_interleave(2)])
    with pytest.raises(ConfigError, match="continuations"):
        playing._continued(real(7), 3)
    (loss,) = playing.written(batch, 4)
    assert torch.isfinite(loss.total)


def test_a_leak_follows_its_discriminator():
    playing = game("leakgan", likelihood_every=0)
    own = playing.generator
    assert isinstance(own, LeakGAN)
    with torch.no_grad():
        playing.discriminator.embedding.weight.add_(1.0)
    assert not torch.equal(own.leak.embedding.weight, playing.discriminator.embedding.weight)
    playing.sampled(real(), 0)
    assert torch.equal(own.leak.embedding.weight, playing.discriminator.embedding.weight)
    assert not any(parameter.requires_grad for parameter in own.leak.parameters())


def test_every_so_many_updates_of_leakgan_are_by_likelihood():
    playing = game("leakgan", likelihood_every=3)
    kinds = ["reward" in next(playing.written(real(), step)).metrics for step in range(5)]
    assert kinds == [False, True, True, False, True]


def test_textgan_is_matched_and_reads_codes():
    playing, batch = game("textgan"), real(8)
    texts = playing.sampled(batch, 0)
    assert texts.codes is not None and texts.soft is not None
    assert torch.equal(texts.soft.argmax(-1), texts.tokens)
    loss = playing.against(batch, texts)
    assert {"classification", "reconstruction", "discrepancy", "correct"} <= set(loss.metrics)


def test_cold_texts_are_those_of_the_behaviour_policy():
    """At a low temperature and without exploring, all but greedy; exploring alone, the generator's own distribution."""
    playing, batch = game("coldgan"), real(400)
    nearly = ColdConfig(temperature=0.001, epsilon=1e-9)
    start, none = batch.tokens[:, :1], torch.zeros(400, dtype=torch.bool)
    playing.generator.eval()
    with torch.no_grad():
        playing.generator.head.weight.mul_(30)
        cold = coldgan._behaved(playing.generator, start, 5, none, nearly)
        warm = coldgan._behaved(playing.generator, start, 5, ~none, nearly)
    assert len({tuple(row) for row in cold.tolist()}) == 1
    expected = len({tuple(row) for row in drawn(playing.generator, batch, None).tokens.tolist()})
    assert 0.8 * expected < len({tuple(row) for row in warm.tolist()}) < 1.25 * expected


def test_replay_gives_back_what_was_there():
    replay = Replay(4, 3)
    first = Texts(torch.tensor([[1, 1, 1], [2, 2, 2]]), torch.tensor([3, 2]))
    assert torch.equal(replay.mixed(first).tokens, first.tokens)
    second = Texts(torch.tensor([[3, 3, 3], [4, 4, 4]]), torch.tensor([1, 1]))
    mixed = replay.mixed(second)
    assert mixed.tokens[0].tolist() == [3, 3, 3]
    assert (mixed.tokens[1].tolist(), int(mixed.lengths[1])) in [([1, 1, 1], 3), ([2, 2, 2], 2)]
    replay.mixed(second)
    assert int(replay.count) == 6
    assert sorted(replay.tokens[:, 0].tolist()) == [3, 3, 4, 4]
    assert torch.equal(Replay(0, 3).mixed(second).tokens, second.tokens)


def test_replay_of_longer_texts_and_of_more_than_it_holds():
    replay = Replay(2, 3)
    many = Texts(torch.arange(4)[:, None].expand(4, 5).contiguous(), torch.tensor([5, 5, 5, 2]))
    replay.mixed(many)
    assert replay.tokens.tolist() == [[2, 2, 2], [3, 3, 3]] and replay.lengths.tolist() == [3, 2]
    mixed = replay.mixed(many)
    assert mixed.tokens[0].tolist() == [0] * 5
    assert (mixed.tokens[1, :2].tolist(), int(mixed.lengths[1])) in [([2, 2], 3), ([3, 3], 2)]


@pytest.mark.parametrize(
    ("method", "kind"), [("seqgan", "gpt2"), ("relgan", "gpt2"), ("relgan", "lstm"), ("coldgan", "gpt2")]
)
def test_any_decoder_may_be_the_generator(method: str, kind: str):
    playing: Any = game(method, kind=kind)
    (loss,) = playing.written(real(), 0)
    assert any(each.abs().sum() > 0 for each in gradients(loss, playing.generator))
