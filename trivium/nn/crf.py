"""The linear-chain conditional random field (Lafferty, McCallum and Pereira 2001; Lample et al. 2016, section 2.2).

A sequence of tags y for words with scores P is scored as a whole,

    s(y) = start[y_1] + sum_t P[t, y_t] + sum_t transitions[y_t, y_{t+1}] + end[y_n],    p(y) = exp s(y) / Z

with Z the sum of exp s over all N^n sequences, so that the model can learn which tag follows which. Z (by the forward
algorithm) and the best sequence (Viterbi) take n steps of N^2 each; a step is one operation on all rows and tags.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class LinearChainCRF(nn.Module):
    """Scores of neighbouring tags, and of tags at both ends; rows are ragged, each with one word or more."""

    def __init__(self, tags: int) -> None:
        """All scores begin as 0: until something is learned, the tags of a sequence are independent."""
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def forward(
        self, scores: Float[Tensor, "B W N"], lengths: Int[Tensor, "B"], tags: Int[Tensor, "B W"]
    ) -> Float[Tensor, "B"]:
        """-log p(tags) of each row in nats."""
        return self.log_partition(scores, lengths) - self.path_score(scores, lengths, tags)

    def path_score(
        self, scores: Float[Tensor, "B W N"], lengths: Int[Tensor, "B"], tags: Int[Tensor, "B W"]
    ) -> Float[Tensor, "B"]:
        """s(y) of the sequences ``tags``."""
        inside = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
        tags = torch.where(inside, tags, 0)  # beyond a row's end they may be no tags, such as -100
        words = scores.gather(-1, tags[..., None])[..., 0]
        steps = self.transitions[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, lengths[:, None] - 1)[:, 0]
        # Chosen, not multiplied by the mask: beyond a row's end a score may be anything.
        inner = torch.where(inside, words, 0.0).sum(1) + torch.where(inside[:, 1:], steps, 0.0).sum(1)
        return self.start[tags[:, 0]] + inner + self.end[last]

    def log_partition(self, scores: Float[Tensor, "B W N"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        """log sum_y exp s(y) over every sequence of each row: the forward algorithm, in log space."""
        alpha = self.start + scores[:, 0]
        for t in range(1, scores.shape[1]):
            longer = (alpha[:, :, None] + self.transitions).logsumexp(1) + scores[:, t]
            alpha = torch.where((t < lengths)[:, None], longer, alpha)
        return (alpha + self.end).logsumexp(-1)

    @torch.no_grad()
    def best_path(self, scores: Float[Tensor, "B W N"], lengths: Int[Tensor, "B"]) -> list[list[int]]:
        """The sequence with the highest score of each row (Viterbi)."""
        width, tags = scores.shape[1:]
        best, came_from = self.start + scores[:, 0], []
        stay = torch.arange(tags, device=scores.device)
        for t in range(1, width):
            value, previous = (best[:, :, None] + self.transitions).max(1)
            goes_on = (t < lengths)[:, None]
            best = torch.where(goes_on, value + scores[:, t], best)
            came_from.append(torch.where(goes_on, previous, stay))
        tag = (best + self.end).argmax(-1)
        path = [tag]
        for previous in reversed(came_from):  # beyond a row's end the way back stands still
            tag = previous.gather(1, tag[:, None])[:, 0]
            path.append(tag)
        paths = torch.stack(path[::-1], dim=1).tolist()
        return [row[:length] for row, length in zip(paths, lengths.tolist(), strict=True)]
