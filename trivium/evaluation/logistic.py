"""Multinomial logistic regression, fitted until nothing moves: what a linear probe is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from trivium.errors import DataError

_ITERATIONS = 500
_STILL = 1e-6
"""Largest element of the gradient of the mean loss that counts as none."""


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """What was fitted."""

    weight: Float[Tensor, "N D"]
    """Of the standardised features, float64."""
    bias: Float[Tensor, "N"]
    mean: Float[Tensor, "D"]
    """Of the training data, subtracted before anything else."""
    scale: Float[Tensor, "D"]
    """Standard deviation of the training data, divided by; 1 for a feature that is always the same."""
    gradient: float
    """Largest element of the gradient where the fit ended: how still it stood."""

    def predict(self, features: Float[Tensor, "B D"]) -> Int[Tensor, "B"]:
        """The likeliest class of each row."""
        standard = (features.double() - self.mean) / self.scale
        return (standard @ self.weight.T + self.bias).argmax(-1)


def fit_logistic(
    features: Float[Tensor, "B D"], classes: Int[Tensor, "B"], count: int, *, l2: float = 0.01
) -> Logistic:
    """Minimises the mean cross-entropy plus ``l2`` / 2 times the squared weights (not the biases) of ``count`` classes.

    By L-BFGS in float64 from zero, without any chance; for ``l2`` above 0 there is one minimum, so two fits differ by
    rounding at most. Features are standardised before, so that one ``l2`` suits every layer. Raises ``DataError`` for
    features that are not finite.
    """
    assert l2 > 0 and len(features) == len(classes) > 0
    if not bool(torch.isfinite(features).all()):
        raise DataError("vectors to learn from are not finite", fix="check the model: its weights may be broken")
    data = features.double()
    mean, scale = data.mean(0), data.std(0, correction=0)
    scale = torch.where(scale > 1e-12, scale, 1.0)
    data = (data - mean) / scale
    weight = torch.zeros(count, data.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        tolerance_grad=_STILL,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(data @ weight.T + bias, classes) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
        loss()
    assert weight.grad is not None and bias.grad is not None
    gradient = max(float(weight.grad.abs().max()), float(bias.grad.abs().max()))
    return Logistic(weight=weight.detach(), bias=bias.detach(), mean=mean, scale=scale, gradient=gradient)
