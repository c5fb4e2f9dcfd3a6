"""Generalised advantage estimation against sums written out by hand."""

import torch

from trivium.objectives.advantages import batch_relative, gae, group_relative, leave_one_out, normalised


def test_by_hand():
    """gamma 0.9, lambda 0.5 (so 0.45 between deltas); the episode is the last three positions."""
    rewards = torch.tensor([[9.0, 1.0, 0.0, 2.0]])
    values = torch.tensor([[7.0, 0.5, 1.0, 1.5]])
    mask = torch.tensor([[False, True, True, True]])
    advantages, returns = gae(rewards, values, mask, discount=0.9, trace=0.5)
    third = 2.0 - 1.5
    second = (0.0 + 0.9 * 1.5 - 1.0) + 0.45 * third
    first = (1.0 + 0.9 * 1.0 - 0.5) + 0.45 * second
    torch.testing.assert_close(advantages, torch.tensor([[0.0, first, second, third]]))
    torch.testing.assert_close(returns, torch.tensor([[0.0, first + 0.5, second + 1.0, third + 1.5]]))


def test_equation_16():
    """The recursion equals the sum over later deltas."""
    torch.manual_seed(0)
    rewards, values = torch.randn(2, 1, 6, dtype=torch.float64)
    discount, trace = 0.97, 0.8
    following = torch.cat([values[:, 1:], torch.zeros(1, 1, dtype=torch.float64)], 1)
    deltas = rewards + discount * following - values
    expected = [sum((discount * trace) ** (l - t) * deltas[0, l] for l in range(t, 6)) for t in range(6)]  # noqa: E741
    advantages, _ = gae(rewards, values, torch.ones(1, 6, dtype=torch.bool), discount=discount, trace=trace)
    torch.testing.assert_close(advantages[0], torch.stack(expected))


def test_limits():
    """lambda 1: the whole return less the value (eq. 18). lambda 0: one step (eq. 17)."""
    rewards, values = torch.randn(2, 2, 5, dtype=torch.float64)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    whole, returns = gae(rewards, values, mask, discount=1.0, trace=1.0)
    later = torch.where(mask, rewards, 0.0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns, torch.where(mask, later, 0.0))
    torch.testing.assert_close(whole, torch.where(mask, later - values, 0.0))
    one, _ = gae(rewards, values, mask, discount=1.0, trace=0.0)
    torch.testing.assert_close(one[1, 1], rewards[1, 1] + values[1, 2] - values[1, 1])
    torch.testing.assert_close(one[1, 2], rewards[1, 2] - values[1, 2])


def test_what_is_not_chosen_is_passed_over():
    """Tokens between two chosen ones (a tool's answer) neither add a delta nor discount."""
    rewards, values = torch.randn(2, 1, 3, dtype=torch.float64)
    apart = torch.zeros(2, 1, 5, dtype=torch.float64) + 99
    mask = torch.tensor([[True, False, False, True, True]])
    apart[0][mask], apart[1][mask] = rewards[0], values[0]
    expected, _ = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), discount=0.9, trace=0.7)
    got, _ = gae(*apart, mask, discount=0.9, trace=0.7)
    torch.testing.assert_close(got[mask], expected[0])


def test_normalised_over_the_true_count():
    advantages = torch.tensor([[1.0, 2.0, 1e6], [4.0, 1e6, 1e6]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    out = normalised(advantages, mask)
    chosen = torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(out[mask], (chosen - chosen.mean()) / chosen.std(correction=0))
    assert not out[~mask].any()
    assert torch.equal(normalised(torch.full((1, 3), 2.5), torch.ones(1, 3, dtype=torch.bool)), torch.zeros(1, 3))


def test_a_group_is_compared_with_itself():
    rewards = torch.tensor([1.0, 3.0, 2.0, 5.0, 5.0], dtype=torch.float64)
    groups = torch.tensor([1, 1, 1, 0, 0])
    deviation = 1.0  # of 1, 3 and 2, as of a sample
    expected = torch.tensor([-1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(group_relative(rewards, groups), expected / (deviation + 1e-4))
    torch.testing.assert_close(group_relative(rewards, groups, by_deviation=False), expected)


def test_equal_rewards_teach_nothing():
    """A group whose answers are all right, or all wrong, has no gradient."""
    flat, groups = torch.full((4,), 0.7), torch.zeros(4, dtype=torch.long)
    for advantages in (group_relative(flat, groups), leave_one_out(flat, groups), batch_relative(flat)):
        assert float(advantages.abs().max()) < 1e-6


def test_leave_one_out_by_hand():
    rewards = torch.tensor([1.0, 3.0, 8.0, 4.0])
    groups = torch.tensor([0, 0, 0, 1])
    expected = torch.tensor([1 - 5.5, 3 - 4.5, 8 - 2.0, 0.0])  # a lonely answer has nothing to be compared with
    torch.testing.assert_close(leave_one_out(rewards, groups), expected)


def test_batch_relative_by_hand():
    torch.testing.assert_close(batch_relative(torch.tensor([1.0, 3.0, 8.0])), torch.tensor([-3.0, -1.0, 4.0]))


def test_rewards_keep_their_mean_when_they_are_whitened():
    rewards, mask = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]])
    torch.testing.assert_close(normalised(rewards, mask, keep_mean=True), torch.tensor([[1.0, 3.0, 0.0]]))
    torch.testing.assert_close(normalised(3 * rewards, mask, keep_mean=True), torch.tensor([[5.0, 7.0, 0.0]]))
