"""Maximum mean discrepancy: how far two samples are from being of one distribution (Gretton et al. 2012).

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)            (lemma 6)

with a sum of Gaussian kernels, k(x, y) = sum_s exp(-|x - y|^2 / (2 s^2)): one bandwidth sees only differences of about
its own size. With such a kernel it is 0 for equal distributions alone.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def squared_mmd(
    first: Float[Tensor, "N F"], second: Float[Tensor, "M F"], bandwidths: Sequence[float], *, unbiased: bool = False
) -> Float[Tensor, ""]:
    """The estimate from two samples, in at least fp32; differentiable in both.

    Over all pairs, each point with itself included (eq. 5): biased upwards, never negative. ``unbiased`` leaves out the
    pairs of a point with itself (eq. 3): of two samples of one distribution its mean is 0, and half of them are below.
    It needs 2 points of each.
    """
    assert not unbiased or min(len(first), len(second)) > 1, "one point has no pair"
    wide = torch.promote_types(first.dtype, torch.float32)
    centre = second.detach().to(wide).mean(0)  # distances do not change, and less is lost of them to rounding
    x, y = first.to(wide) - centre, second.to(wide) - centre
    cross = _kernel(x, y, bandwidths).mean()
    return _within(x, bandwidths, unbiased) + _within(y, bandwidths, unbiased) - 2 * cross


def _within(x: Float[Tensor, "N F"], bandwidths: Sequence[float], unbiased: bool) -> Float[Tensor, ""]:
    kernel = _kernel(x, x, bandwidths)
    if not unbiased:
        return kernel.mean()
    n = len(x)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def _kernel(x: Float[Tensor, "N F"], y: Float[Tensor, "M F"], bandwidths: Sequence[float]) -> Float[Tensor, "N M"]:
    """|x - y|^2 is expanded: all differences at once would be F times as large as the kernel."""
    with torch.autocast(x.device.type, enabled=False):
        squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    squares = squares.clamp(min=0)  # rounding
    return torch.stack([torch.exp(-squares / (2 * s * s)) for s in bandwidths]).sum(0)
