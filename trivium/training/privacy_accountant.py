"""How much training with noise tells of any one example: epsilon at a given delta, from Rényi differential privacy.

    epsilon(sample_rate=0.01, noise=1.0, steps=300, delta=1e-5)                       # 2.39
    noise_for(epsilon=8.0, sample_rate=0.04, steps=2250, delta=1e-5)                  # 1.425

One update takes each example with probability q, adds Gaussian noise of sigma times the largest contribution of an
example, and tells the sum: the *sampled Gaussian mechanism* (Mironov, Talwar and Zhang 2019, "Rényi differential
privacy of the sampled Gaussian mechanism"). Its divergence of order alpha is log A / (alpha - 1), with

    A = E_{z ~ N(0, sigma^2)} [((1 - q) + q exp((2 z - 1) / (2 sigma^2)))^alpha]            (section 3.3, equation 3)

Divergences of one order add up over the updates (Mironov 2017, "Rényi differential privacy", proposition 1), and the
best order gives epsilon. Neighbours differ by one example that is there or not.
"""

import math
from collections.abc import Sequence

import numpy as np

from trivium.errors import ConfigError

ORDERS = (*(1 + tenth / 10 for tenth in range(1, 100)), *range(11, 64), 80, 96, 128, 192, 256, 384, 512, 1024)
"""Orders alpha that are tried: fine where epsilon is large, coarse where it is small."""

_TAIL = 12.0
"""Standard deviations to integrate over on either side: what is left out is below 1e-31 of the whole."""
_NODES_PER_DEVIATION = 16
_LARGEST_NOISE = 2.0**20
_RELATIVE_PRECISION = 1e-6


def epsilon(*, sample_rate: float, noise: float, steps: int, delta: float, orders: Sequence[float] = ORDERS) -> float:
    """The least epsilon over ``orders`` for ``steps`` updates; infinite without noise, 0 without an update.

    ``sample_rate`` is q and ``noise`` sigma, in units of the norm that examples are clipped to. The conversion is that
    of Balle et al. 2020 ("Hypothesis testing interpretations and Rényi differential privacy", theorem 21), which is
    never above the one of Mironov 2017 (proposition 3). Raises ``ConfigError`` for what is no probability, or below 0.
    """
    _check(sample_rate=sample_rate, delta=delta)
    if noise < 0 or steps < 0:
        raise ConfigError("noise and steps must not be negative", received=f"noise {noise}, {steps} steps")
    if steps == 0 or sample_rate == 0:
        return 0.0
    if noise == 0:
        return math.inf
    found = (_converted(steps * divergence(order, sample_rate, noise), order, delta) for order in orders)
    return max(0.0, min(found))


def divergence(order: float, sample_rate: float, noise: float) -> float:
    """The Rényi divergence of order alpha > 1 that one update may cause.

    The integral is taken by the trapezoidal rule, whose error falls exponentially for such functions: what is
    integrated is a mixture of Gaussians where alpha is whole, and lies between two such for any other.
    """
    assert order > 1 and noise > 0 and 0 < sample_rate <= 1, (order, noise, sample_rate)
    if sample_rate == 1:
        return order / (2 * noise**2)  # the plain Gaussian mechanism (Mironov 2017, proposition 7)
    # Expanded, the terms are Gaussians with means 0 to alpha.
    low, high = -_TAIL * noise, order + _TAIL * noise
    z = np.linspace(low, high, math.ceil((high - low) / noise * _NODES_PER_DEVIATION) + 1)
    log_ratio = np.logaddexp(math.log1p(-sample_rate), math.log(sample_rate) + (2 * z - 1) / (2 * noise**2))
    log_density = -np.square(z / noise) / 2 - math.log(noise) - math.log(2 * math.pi) / 2
    log_moment = np.logaddexp.reduce(log_density + order * log_ratio) + math.log(z[1] - z[0])
    return max(0.0, float(log_moment)) / (order - 1)


def noise_for(*, epsilon: float, sample_rate: float, steps: int, delta: float) -> float:
    """The least noise sigma with which ``steps`` updates stay within ``epsilon``, to a millionth.

    Raises ``ConfigError`` where no noise is enough.
    """
    _check(sample_rate=sample_rate, delta=delta)
    if not 0 < epsilon < math.inf:
        raise ConfigError("epsilon must be a finite number above 0", received=epsilon)

    def spent(noise: float) -> float:
        return _epsilon(sample_rate=sample_rate, noise=noise, steps=steps, delta=delta)

    low, high = 0.0, 1.0
    while spent(high) > epsilon:
        low, high = high, 2 * high
        if high > _LARGEST_NOISE:
            raise ConfigError(
                "no noise gives so small an epsilon",
                received=f"epsilon {epsilon} at delta {delta}",
                expected=f"at least about {spent(high):.3g}",
                fix="allow a larger epsilon or delta, or do fewer steps",
            )
    while high - low > _RELATIVE_PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if spent(middle) > epsilon else (low, middle)
    return high


_epsilon = epsilon  # the argument of `noise_for` has the same name


def _converted(divergence: float, order: float, delta: float) -> float:
    return divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


def _check(*, sample_rate: float, delta: float) -> None:
    if not 0 <= sample_rate <= 1:
        raise ConfigError("the sampling rate is a probability", received=sample_rate, expected="0 to 1")
    if not 0 < delta < 1:
        raise ConfigError("delta is a probability", received=delta, expected="above 0 and below 1")
