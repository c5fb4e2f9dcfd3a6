"""Heads that learn how far back they look (Sukhbaatar et al. 2019, section 2.2).

    m_z(x) = min(max((R + z - x) / R, 0), 1)                        eq. 5
    a_tr = m_z(t - r) exp(s_tr) / sum_q m_z(t - q) exp(s_tq)        the equation after it

z is a head's span and R the width of the ramp on which the mask falls from 1 to 0. A factor of exp(s) is a term of s,
so the mask is log m, added to the scores, and keys beyond the longest span of a layer are not looked at. The spans are
kept short by a penalty, lambda / M * sum_i z_i (eq. 6).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.sparse import Near


class AdaptiveSpan(nn.Module):
    """The spans of one layer's heads, between 0 and ``longest`` tokens; all begin at ``first``."""

    def __init__(self, heads: int, longest: int, ramp: int, *, first: float = 0.0) -> None:
        super().__init__()
        self.longest, self.ramp = longest, ramp
        self.share = nn.Parameter(torch.full((heads,), first / longest))

    @property
    def spans(self) -> Float[Tensor, "H"]:
        """z of each head, in tokens; in fp32 at least."""
        return self.longest * self._share.clamp(0, 1)

    @property
    def pattern(self) -> Near:
        """What any head of the layer can see: up to its longest span, and the ramp after that."""
        return Near(max(1, math.ceil(float(self.spans.detach().max()) + self.ramp)))

    def penalty(self) -> Float[Tensor, ""]:
        """The mean span, eq. 6 without lambda."""
        return self.spans.mean()

    def forward(self, queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"]) -> Float[Tensor, "*D H T S"]:
        """log m of every head and distance: a `Bias`."""
        # Here a gradient passes the clamp, or a span that has shrunk to 0 could never grow again.
        share = self._share
        z = self.longest * (share + (share.clamp(0, 1) - share).detach())
        distances = (queries[..., :, None] - keys[..., None, :])[..., None, :, :]
        mask = ((self.ramp + z[:, None, None] - distances) / self.ramp).clamp(max=1)
        hidden = mask <= 0
        return mask.masked_fill(hidden, 1.0).log().masked_fill(hidden, float("-inf")).to(self.share.dtype)

    @property
    def _share(self) -> Float[Tensor, "H"]:
        # Distances are taken from it: bf16 knows no whole number beyond 256 but the even ones.
        return self.share.to(torch.promote_types(self.share.dtype, torch.float32))
