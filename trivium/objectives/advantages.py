"""How much better an action was than expected: generalised advantage estimation (Schulman et al. 2016)."""

import torch
from jaxtyping import Bool, Float
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


def normalised(
    advantages: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], *, epsilon: float = 1e-8
) -> Float[Tensor, "B T"]:
    """Mean 0 and variance 1 over the positions of ``mask``, and of every process; 0 elsewhere.

    Every process calls it together. A mean over the padded length would weigh short answers by their neighbours'.
    """
    chosen = advantages[mask].double()
    total, count = sum_over_processes(torch.stack([chosen.sum(), mask.sum().double()]))
    centred = chosen - total / count
    (squares,) = sum_over_processes(centred.square().sum()[None])
    out = torch.zeros_like(advantages)
    out[mask] = (centred / ((squares / count).sqrt() + epsilon)).to(advantages.dtype)
    return out
