"""What the beginnings of texts are worth, by Monte Carlo search."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.generation.ancestral import continued
from trivium.training.adversarial.texts import ended

Judge = Callable[[Int[Tensor, "B T"], Int[Tensor, "B"]], Float[Tensor, "B"]]
"""`(texts, lengths) -> reward of each`."""


@torch.no_grad()
def rollout_rewards(
    policy: nn.Module,
    judge: Judge,
    start: Int[Tensor, "B 1"],
    texts: Int[Tensor, "B T"],
    lengths: Int[Tensor, "B"],
    rollouts: int,
    *,
    end_id: int | None = None,
) -> Float[Tensor, "B T"]:
    """Q of each token of `texts` (Yu et al. 2017, eq. 4): the judge's mean over `rollouts` endings that `policy` gives
    the beginning up to and including it; at the last token the judge's word on the text itself.

    Row `b` has `lengths[b]` tokens, its endings as well, or with `end_id` each as many as there are up to its own first
    one; what stands beyond is unspecified.
    """
    rows, length = texts.shape
    copies = torch.arange(rows, device=texts.device).repeat_interleave(rollouts)
    state = policy(start, state=policy.new_state(rows, length + 1)).state
    seen, until = [texts], [lengths]
    for t in range(length - 1):
        output = policy(texts[:, t : t + 1], state=state)
        state = output.state
        endings = continued(policy, output.hidden[copies, -1], state.take(copies), length - 1 - t)
        seen.append(torch.cat([texts[copies, : t + 1], endings], dim=1))
        until.append(lengths[copies] if end_id is None else ended(seen[-1], end_id))
    # All at once: what a judge prepares for many texts (`TextCNN.strongest`) it prepares once.
    last, rest = judge(torch.cat(seen), torch.cat(until)).split([rows, rows * rollouts * (length - 1)])
    # At or beyond a row's last token nothing was left to roll out: the judge saw the text itself.
    means = rest.view(length - 1, rows, rollouts).mean(dim=2)
    return torch.cat([means, last[None]]).t()
