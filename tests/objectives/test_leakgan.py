"""LeakGAN's losses: by hand on small numbers, against loops, and which part each of them moves."""

import math

import pytest
import torch
from torch import Tensor

from trivium.data.batches import CausalBatch
from trivium.models.leakgan import LeakGAN, LeakGANConfig
from trivium.objectives.leakgan import intrinsic_rewards, leakgan, leakgan_pretraining, manager_loss, rescaled
from trivium.training.gradients import backward

V, C = 9, 3
MANAGER = ("manager.", "goal.")


def build() -> LeakGAN:
    torch.manual_seed(2)
    fields = {"width": 6, "action_width": 4, "horizon": C, "leak_width": 5, "windows": (1, 2), "filters": (4, 3)}
    model = LeakGAN(LeakGANConfig(vocabulary_size=V, **fields)).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def batch(lengths: tuple[int, ...] = (7, 2, 5, 3)) -> CausalBatch:
    tokens = torch.randint(V, (len(lengths), 8))
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    return CausalBatch(tokens[:, :-1], tokens[:, 1:], mask, torch.tensor(lengths))


def path() -> tuple[Tensor, Tensor]:
    """A text of 3 tokens whose features walk right, up, and stay; the goals point right, up-right and anywhere."""
    features = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [1.0, 2.0]]])
    goals = torch.tensor([[[1.0, 0.0], [math.sqrt(0.5), math.sqrt(0.5)], [0.0, -1.0], [0.6, 0.8]]])
    return features, goals


def test_intrinsic_rewards_by_hand() -> None:
    features, goals = path()
    half, fifth = math.sqrt(0.5), 1 / math.sqrt(5)
    of_one = torch.tensor([[1.0, half, 0.0]])  # right where right was wanted; up for up-right; still
    of_two = torch.tensor([[1.0, (half + fifth) / 2, (0.0 + half) / 2]])  # (1, 2) for right; up for up-right
    torch.testing.assert_close(intrinsic_rewards(features, goals, 1), of_one)
    torch.testing.assert_close(intrinsic_rewards(features, goals, 2), of_two)
    longer = intrinsic_rewards(features, goals, 50)
    torch.testing.assert_close(longer[0, 2], torch.tensor((0.0 + half + fifth) / 3))


def test_the_managers_loss_by_hand() -> None:
    """Horizon 2: goals 0 and 1 end within the text, goal 2 with it, which goes nowhere; each is worth what the text was
    worth where it ended."""
    features, goals = path()
    rewards = torch.tensor([[9.0, 0.5, 2.0]])
    wanted = -(0.5 / math.sqrt(5) + 2.0 * math.sqrt(0.5))
    torch.testing.assert_close(manager_loss(features, goals, torch.tensor([3]), 2, rewards), torch.tensor(wanted))
    shorter = manager_loss(features, goals, torch.tensor([2]), 2, rewards)
    torch.testing.assert_close(shorter, torch.tensor(-0.5 / math.sqrt(5) - 0.5 * math.sqrt(0.5)))
    assert manager_loss(features, goals, torch.tensor([1]), 2, rewards) == -9
    assert manager_loss(features, goals, torch.tensor([0]), 2, rewards) == 0
    beyond = manager_loss(features, goals, torch.tensor([3]), 9, rewards)
    torch.testing.assert_close(beyond, torch.tensor(-2.0 / math.sqrt(5) - 2.0 * math.sqrt(0.5)))


def test_both_losses_by_loops() -> None:
    model, texts = build(), batch()
    rewards = torch.rand(4, 7).double()
    loss = leakgan(model, texts, rewards)
    worker = manager = worth = 0.0
    with torch.no_grad():
        log_probs = torch.log_softmax(model.head.logits(model(texts.tokens).hidden), -1)
        for b, n in enumerate(texts.lengths.tolist()):
            whole = torch.cat([texts.tokens[b, :1], texts.targets[b, :n]])[None]
            f, g = (each[0] for each in model.plan(whole))
            cosine = torch.nn.functional.cosine_similarity
            for t in range(1, n + 1):
                steps = [cosine(f[t] - f[t - i], g[t - i], dim=0) for i in range(1, C + 1) if i <= t]
                reward = sum(steps) / len(steps)
                worth += reward
                worker -= reward * log_probs[b, t - 1, texts.targets[b, t - 1]]
            for t in range(n):
                end = min(t + C, n)
                manager -= rewards[b, end - 1] * cosine(f[end] - f[t], g[t], dim=0)
    torch.testing.assert_close(loss.total, worker)
    torch.testing.assert_close(loss.auxiliary["manager"], manager)
    assert loss.count == 17
    torch.testing.assert_close(loss.metrics["intrinsic_reward"], worth)
    alike = leakgan(model, texts, rewards, "constant")
    torch.testing.assert_close(alike.total, leakgan_pretraining(model, texts).total)
    torch.testing.assert_close(alike.auxiliary["manager"], manager)


def test_pretraining_is_likelihood_and_goals_that_lead_to_what_is_written() -> None:
    model, texts = build(), batch()
    loss = leakgan_pretraining(model, texts)
    log_probs = torch.log_softmax(model.head.logits(model(texts.tokens).hidden), -1)
    picked = log_probs.gather(-1, texts.targets[..., None])[..., 0]
    torch.testing.assert_close(loss.total, -picked[texts.mask].sum())
    ones = leakgan(model, texts, torch.ones(4, 7).double())
    torch.testing.assert_close(loss.auxiliary["manager"], ones.auxiliary["manager"])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        backward([leakgan_pretraining(model, texts)], list(model.parameters()), None)
        optimiser.step()
        optimiser.zero_grad()
    after = leakgan_pretraining(model, texts)
    assert after.total < loss.total
    assert after.auxiliary["manager"] < loss.auxiliary["manager"]


@pytest.mark.parametrize("pretraining", [False, True])
def test_each_loss_moves_its_own_part(pretraining: bool) -> None:
    model, texts = build(), batch()

    def moved(part: str) -> set[str]:
        model.zero_grad(set_to_none=True)
        loss = leakgan_pretraining(model, texts) if pretraining else leakgan(model, texts, torch.rand(4, 7).double())
        (loss.total if part == "worker" else loss.auxiliary[part]).backward()
        assert all(p.grad.abs().sum() > 0 for p in model.parameters() if p.grad is not None)
        return {name for name, parameter in model.named_parameters() if parameter.grad is not None}

    manager, worker = moved("manager"), moved("worker")
    assert manager == {name for name, _ in model.named_parameters() if name.startswith(MANAGER)}
    assert worker == {name for name, _ in model.named_parameters()} - manager


def test_a_rewarded_token_becomes_likelier() -> None:
    """The sign: what went where its goal pointed is written more often, what went elsewhere less."""
    model, texts = build(), batch((7, 7, 7, 7))
    with torch.no_grad():
        whole = torch.cat([texts.tokens[:, :1], texts.targets], 1)
        worth = intrinsic_rewards(*model.plan(whole), C)
    assert worth.min() < -0.05 < 0.05 < worth.max()

    def log_probs() -> Tensor:
        return model.head.log_prob(model(texts.tokens).hidden, texts.targets)

    before = log_probs().detach()
    leakgan(model, texts, torch.zeros(4, 7).double()).total.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad
        assert (worth * (log_probs() - before)).sum() > 0


def test_features_that_did_not_move_have_no_direction() -> None:
    """Not even that of the rounding of what computed them."""
    features = torch.full((1, 3, 50), 0.3).double()
    goals = torch.nn.functional.normalize(torch.randn(1, 3, 50).double(), dim=-1)
    features[0, 1] += 1e-9 * goals[0, 0]
    assert intrinsic_rewards(features, goals, 1).abs().max() < 1e-2


def test_ranks_by_hand() -> None:
    rewards = torch.tensor([[0.2], [0.9], [0.5], [0.4]])
    got = rescaled(rewards, torch.ones(4, 1, dtype=torch.bool), sharpness=12.0)[:, 0]
    wanted = [1 / (1 + math.exp(-12 * (0.5 - rank / 4))) for rank in (4, 1, 2, 3)]
    torch.testing.assert_close(got, torch.tensor(wanted))


def test_ranks_follow_the_reward_at_every_position_among_the_texts_that_reach_it() -> None:
    rewards, mask = torch.rand(20, 5), torch.rand(20, 5) < 0.7
    got = rescaled(rewards, mask)
    assert not got[~mask].any()
    for t in range(5):
        there = mask[:, t]
        order = rewards[there, t].argsort()
        assert (got[there, t][order].diff() > 0).all()
        alone = rescaled(rewards[there, t : t + 1], torch.ones(int(there.sum()), 1, dtype=torch.bool))
        torch.testing.assert_close(got[there, t], alone[:, 0])


def test_equal_rewards_share_and_the_mean_depends_on_nothing() -> None:
    """Ranks k and B - k have a sum of 1, so that of all is (B - 1) / 2 + sigmoid(-delta / 2)."""
    everyone = torch.ones(8, 1, dtype=torch.bool)
    wanted = torch.tensor((7 / 2 + 1 / (1 + math.exp(8))) / 8)
    for values in ([0.1] * 8, [0.5, 0.1, 0.5, 0.9, 0.1, 0.5, 0.2, 0.3], list(range(8))):
        rewards = torch.tensor(values, dtype=torch.float)[:, None]
        got = rescaled(rewards, everyone)
        torch.testing.assert_close(got.mean(), wanted)
        same = rewards == rewards.T
        assert ((got - got.T).abs() < 1e-6)[same].all()
        assert ((got - got.T).abs() > 1e-6)[~same].all()
