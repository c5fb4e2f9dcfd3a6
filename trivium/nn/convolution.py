"""Convolution over windows of a text (Kim 2014, eq. 2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

_ROWS_AT_ONCE = 64
"""Whose answers stay in a processor's cache until their maximum is taken."""


class WindowConvolution(nn.Module):
    """relu(W x_{t : t + h} + b) for every window of ``window`` tokens that lies inside its row.

    A row shorter than the window has one window, filled up with zeros. Everywhere else the output is
    zero, which the maximum over time of a rectified feature does not see: batching changes nothing.
    """

    def __init__(self, width: int, filters: int, window: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, filters, window)
        self.window = window

    def forward(self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B T C"]:
        """Features of the window that starts at each position; ``x`` is zero beyond each row's length."""
        answers, length = self._answers(x.transpose(1, 2)).relu().transpose(1, 2), x.shape[1]
        inside = self._inside(answers.shape[1], lengths)
        return F.pad(answers * inside[:, :, None], (0, 0, 0, length - answers.shape[1]))

    def strongest(self, x: Float[Tensor, "B D T"], lengths: Int[Tensor, "B"] | None) -> Float[Tensor, "B C"]:
        """The maximum over time of the features, which are never all held; without ``lengths`` of whole rows. Fast
        where ``x`` is contiguous as it is here, the positions last."""
        answers = self._answers(x)
        if lengths is not None:
            answers = answers.masked_fill(~self._inside(answers.shape[2], lengths)[:, None], float("-inf"))
        return answers.amax(2).relu()

    @torch.no_grad()
    def strongest_of_ids(
        self, ids: Int[Tensor, "B T"], vectors: Float[Tensor, "V D"], lengths: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C"]:
        """`strongest` of rows of ``ids`` of a table of ``vectors``, for many more ids than vectors.

        W x is a sum over the places in a window, and at each place there are but V vectors to be multiplied: their
        products are made once, V h of them, and a window's answer is the sum of h looked up. No gradient.
        """
        weight, bias = (self.convolution.get_parameter(name) for name in ("weight", "bias"))
        filters, width, window = weight.shape
        none, never = len(vectors), len(vectors) + 1  # beyond a row's end, and what no maximum is taken of
        vectors = torch.cat([vectors, vectors.new_zeros(2, width)])
        products = (vectors @ weight.permute(1, 2, 0).reshape(width, window * filters)).view(-1, filters)
        products[never * window :] = float("-inf")
        ids = ids.masked_fill(torch.arange(ids.shape[1], device=ids.device) >= lengths[:, None], none)
        ids = F.pad(ids, (0, max(0, window - ids.shape[1])), value=none).unfold(1, window, 1)
        ids = ids.masked_fill(~self._inside(ids.shape[1], lengths)[:, :, None], never)
        places = ids * window + torch.arange(window, device=ids.device)
        found = []
        for some in places.split(_ROWS_AT_ONCE):
            answers = F.embedding_bag(some.reshape(-1, window), products, mode="sum")
            found.append(answers.unflatten(0, some.shape[:2]).amax(1))
        return torch.cat(found).add_(bias).relu_()

    def _answers(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B C P"]:
        """W x + b of the windows that a row of full length has, or of the one that is filled up."""
        return self.convolution(F.pad(x, (0, max(0, self.window - x.shape[2]))))

    def _inside(self, positions: int, lengths: Int[Tensor, "B"]) -> Bool[Tensor, "B P"]:
        starts = torch.arange(positions, device=lengths.device)
        return starts[None] <= (lengths - self.window).clamp(min=0)[:, None]


class StrongestWindow(nn.Module):
    """What is left of a `WindowConvolution` after the maximum over time (Kim 2014, section 2): each filter's strongest
    answer to any window of the text.

    Only that one has a gradient. So all answers are given without one, and the strongest again with it: nothing of the
    others is kept, and it takes a fifth of the time (4,096 rows of 20 tokens, 300 filters, a CPU).
    """

    def __init__(self, width: int, filters: int, window: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, filters, window)
        self.window = window

    def forward(self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B C"]:
        """Features of each row; ``x`` is zero beyond its length."""
        x = F.pad(x.transpose(1, 2), (0, max(0, self.window - x.shape[1])))
        windows = x.unfold(2, self.window, 1).transpose(1, 2).flatten(2)  # [B, windows, D * window]
        with torch.no_grad():
            answers = self.convolution(x)
            starts = torch.arange(answers.shape[2], device=x.device)
            beyond = starts[None] > (lengths - self.window).clamp(min=0)[:, None]
            strongest = answers.masked_fill_(beyond[:, None], float("-inf")).max(2).indices
        chosen = windows.gather(1, strongest[:, :, None].expand(-1, -1, windows.shape[2]))
        weight, bias = (self.convolution.get_parameter(name) for name in ("weight", "bias"))
        return F.relu((chosen * weight.flatten(1)).sum(2) + bias)
