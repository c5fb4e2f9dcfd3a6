"""From the hidden states of a text to the place of an answer in it (Devlin et al. 2019, section 4.2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class SpanHead(nn.Module):
    """Two linear scores for each position: how likely an answer begins there, and how likely it ends there.

    Two softmaxes over the positions of a text make probabilities of them. A question without an answer in the text
    points at its first position (section 4.3).
    """

    def __init__(self, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, 2)

    def scores(self, hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"] | None = None) -> Float[Tensor, "B T 2"]:
        """Unnormalised log-probabilities of (begins, ends) at each position, -inf beyond a row's length.

        At least float32: a softmax over hundreds of positions follows.
        """
        scores = self.output(self.dropout(hidden))
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if lengths is None:
            return scores
        beyond = torch.arange(hidden.shape[1], device=hidden.device) >= lengths[:, None]
        return scores.masked_fill(beyond[:, :, None], float("-inf"))

    def nll_sum(
        self,
        hidden: Float[Tensor, "B T D"],
        lengths: Int[Tensor, "B"] | None,
        starts: Int[Tensor, "B"],
        ends: Int[Tensor, "B"],
    ) -> Float[Tensor, ""]:
        """-sum_b (log p(start_b) + log p(end_b)) / 2 in nats; ``ends`` are the last positions of the answers."""
        places = torch.stack([starts, ends], dim=-1)
        return F.cross_entropy(self.scores(hidden, lengths), places, reduction="sum") / 2
