"""Texts that a model writes while it learns, and what their beginnings are worth by Monte Carlo search."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.generation.sampling import draw
from trivium.nn.state import State

Judge = Callable[[Int[Tensor, "B T"], Int[Tensor, "B"]], Float[Tensor, "B"]]
"""`(texts, lengths) -> reward of each`."""


@torch.no_grad()
def sample(model: nn.Module, start: Int[Tensor, "B 1"], length: int) -> Int[Tensor, "B T"]:
    """Texts of `length` tokens after `start`, from the model's own distribution (the default generator)."""
    output = model(start, state=model.new_state(start.shape[0], length))
    return _continued(model, output.hidden[:, -1], output.state, length)


def _continued(model: nn.Module, last: Float[Tensor, "B D"], state: State, length: int) -> Int[Tensor, "B T"]:
    """`length` more tokens; `last` is the hidden state of the newest one in `state`."""
    tokens: list[Tensor] = []
    while True:
        logits = model.head.logits(last)
        tokens.append(draw(logits, torch.rand(logits.shape[0], dtype=torch.float64, device=logits.device)))
        if len(tokens) == length:
            return torch.stack(tokens, dim=1)
        output = model(tokens[-1][:, None], state=state)
        last, state = output.hidden[:, -1], output.state


@torch.no_grad()
def rollout_rewards(
    policy: nn.Module,
    judge: Judge,
    start: Int[Tensor, "B 1"],
    texts: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    rollouts: int,
) -> Float[Tensor, "B T"]:
    """Q of each token of `texts` (Yu et al. 2017, eq. 4): the judge's mean over `rollouts` endings that `policy` gives
    the beginning up to and including it; at the last token the judge's word on the text itself.

    Row `b` has `lengths[b]` tokens, its endings as well; what stands beyond is unspecified.
    """
    rows, length = texts.shape
    copies = torch.arange(rows, device=texts.device).repeat_interleave(rollouts)
    state = policy(start, state=policy.new_state(rows, length + 1)).state
    rewards = []
    for t in range(length - 1):
        output = policy(texts[:, t : t + 1], state=state)
        state = output.state
        endings = _continued(policy, output.hidden[copies, -1], state.take(copies), length - 1 - t)
        whole = torch.cat([texts[copies, : t + 1], endings], dim=1)
        rewards.append(judge(whole, lengths[copies]).view(rows, rollouts).mean(dim=1))
    rewards.append(judge(texts, lengths))
    # At or beyond a row's last token nothing was left to roll out: the judge saw the text itself.
    return torch.stack(rewards, dim=1)
