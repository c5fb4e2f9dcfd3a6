"""How much better an action was than expected: by a critic (Schulman et al. 2016), or by other answers to the prompt.

``gae`` asks a critic at every token. The others compare whole texts: with those of the same prompt (GRPO, RLOO), or
with the batch (REINFORCE with a baseline).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trivium.runtime.processes import sum_over_processes


def gae(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    discount: float,
    trace: float,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Advantages (eq. 16) and returns, advantage + value (the critic's targets); both 0 outside ``mask``.

    A_t = sum_l (discount * trace)^l delta_{t+l} with delta_t = r_t + discount * V_{t+1} - V_t (eq. 9). ``values[b, t]``
    is V of the state in which action ``t`` was taken. Only the positions of ``mask`` are actions: "t + 1" is the next
    of them, and after the last the episode is over and V is 0.
    """
    later_value = later_advantage = torch.zeros_like(rewards[:, 0])
    advantages = torch.zeros_like(rewards)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + discount * later_value - values[:, t]
        advantage = delta + discount * trace * later_advantage
        advantages[:, t] = torch.where(mask[:, t], advantage, 0.0)
        later_advantage = torch.where(mask[:, t], advantage, later_advantage)
        later_value = torch.where(mask[:, t], values[:, t], later_value)
    return advantages, torch.where(mask, advantages + values, 0.0)


def group_relative(
    rewards: Float[Tensor, "B"], groups: Int[Tensor, "B"], *, by_deviation: bool = True, epsilon: float = 1e-4
) -> Float[Tensor, "B"]:
    """(r - mean) / (std + epsilon) over the texts of one group (GRPO; Shao et al. 2024, section 4.1.2).

    ``groups`` numbers the prompts from 0. The deviation is that of a sample (n - 1). Without ``by_deviation`` it is
    left out: dividing by it weighs prompts that are nearly always, or nearly never, answered well above the others
    (Liu et al. 2025, "Understanding R1-Zero-like training", section 3.1). A group of equal rewards gives zeros.
    """
    counts, means = _per_group(rewards, groups)
    centred = rewards - means[groups]
    if not by_deviation:
        return centred
    _, squares = _per_group(centred.square(), groups)
    deviation = (squares * counts / (counts - 1).clamp(min=1)).sqrt()
    return centred / (deviation[groups] + epsilon)


def leave_one_out(rewards: Float[Tensor, "B"], groups: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """r less the mean of the *other* texts of its group (RLOO; Ahmadian et al. 2024, section 2.4): a baseline that the
    text itself has no part in, so that the gradient stays unbiased."""
    counts, means = _per_group(rewards, groups)
    n = counts[groups]
    return (rewards - means[groups]) * n / (n - 1).clamp(min=1)


def batch_relative(rewards: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """r less the mean of all texts, of every process: REINFORCE with a baseline (Williams 1992, section 4)."""
    total, count = sum_over_processes(torch.stack([rewards.double().sum(), rewards.new_tensor(len(rewards)).double()]))
    return rewards - (total / count).to(rewards.dtype)


def _per_group(values: Float[Tensor, "B"], groups: Int[Tensor, "B"]) -> tuple[Float[Tensor, "G"], Float[Tensor, "G"]]:
    """How many texts each group has, and their mean."""
    size = int(groups.max()) + 1
    counts = values.new_zeros(size).index_add_(0, groups, torch.ones_like(values))
    sums = values.new_zeros(size).index_add_(0, groups, values)
    return counts, sums / counts.clamp(min=1)


def normalised(
    values: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], *, epsilon: float = 1e-8, keep_mean: bool = False
) -> Float[Tensor, "B T"]:
    """Mean 0 and variance 1 over the positions of ``mask``, and of every process; 0 elsewhere. With ``keep_mean`` the
    mean is what it was: of rewards, whose mean says whether an answer is to be longer.

    Every process calls it together. A mean over the padded length would weigh short answers by their neighbours'.
    """
    chosen = values[mask].double()
    total, count = sum_over_processes(torch.stack([chosen.sum(), mask.sum().double()]))
    mean = total / count
    (squares,) = sum_over_processes((chosen - mean).square().sum()[None])
    out = torch.zeros_like(values)
    scaled = (chosen - mean) / ((squares / count).sqrt() + epsilon)
    out[mask] = (scaled + mean if keep_mean else scaled).to(values.dtype)
    return out
