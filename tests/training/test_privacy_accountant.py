"""The accountant against the formula for whole orders, and against published figures."""

import math

import pytest

from trivium.errors import ConfigError
from trivium.training.privacy_accountant import ORDERS, divergence, epsilon, noise_for


@pytest.mark.parametrize(
    ("order", "rate", "noise"), [(2, 0.01, 1.0), (5, 0.1, 0.7), (16, 0.5, 2.0), (3, 0.001, 0.3), (32, 0.01, 4.0)]
)
def test_whole_orders_are_the_binomial_sum(order: int, rate: float, noise: float) -> None:
    """Mironov, Talwar and Zhang 2019, section 3.3: A = sum_k C(a, k) (1 - q)^(a - k) q^k exp((k^2 - k) / (2 s^2))."""
    terms = [
        math.comb(order, k) * (1 - rate) ** (order - k) * rate**k * math.exp((k * k - k) / (2 * noise**2))
        for k in range(order + 1)
    ]
    assert divergence(order, rate, noise) == pytest.approx(math.log(sum(terms)) / (order - 1), rel=1e-9)


def test_everything_taken_is_the_plain_gaussian_mechanism() -> None:
    assert divergence(3.5, 1.0, 2.0) == 3.5 / 8
    assert divergence(3.5, 1 - 1e-12, 2.0) == pytest.approx(3.5 / 8, rel=1e-6)


def test_as_opacus_computes_it() -> None:
    """The figure that Opacus tests its own accountant by (opacus/tests/accountants_test.py): 90 passes at q = 0.04."""
    assert epsilon(sample_rate=0.04, noise=1.5, steps=2250, delta=1e-5) == pytest.approx(7.32911117143, abs=1e-8)
    # The example of its script compute_dp_sgd_privacy, which tries these orders only.
    few = epsilon(sample_rate=0.01, noise=1.0, steps=300, delta=1e-5, orders=(2, 5, 10, 20, 100))
    assert round(few, 2) == 2.39


def _as_of_2017(rate: float, noise: float, steps: int, orders=ORDERS) -> float:
    """Converted by proposition 3 of Mironov 2017, as the figures below were."""
    return min(steps * divergence(order, rate, noise) + math.log(1e5) / (order - 1) for order in orders)


@pytest.mark.parametrize(
    ("noise", "passes", "published"),
    # The tutorial on MNIST of TensorFlow Privacy: batches of 256 of 60,000, delta 1e-5.
    [(1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)],
)
def test_as_tensorflow_privacy_publishes(noise: float, passes: int, published: float) -> None:
    steps = passes * 60_000 // 256
    assert round(_as_of_2017(256 / 60_000, noise, steps), 2) == published
    assert epsilon(sample_rate=256 / 60_000, noise=noise, steps=steps, delta=1e-5) < published


def test_as_abadi_et_al_publish() -> None:
    """Section 3.2: q = 0.01, sigma = 4, 10,000 steps, delta 1e-5 give 1.26, by moments of whole orders up to 33."""
    assert round(_as_of_2017(0.01, 4.0, 10_000, range(2, 34)), 2) == 1.26


def test_more_noise_fewer_steps_and_less_sampling_tell_less() -> None:
    usual = {"sample_rate": 0.02, "noise": 1.0, "steps": 500, "delta": 1e-6}
    for change in ({"noise": 1.1}, {"steps": 400}, {"sample_rate": 0.015}, {"delta": 1e-5}):
        assert epsilon(**usual | change) < epsilon(**usual)
    assert epsilon(**usual | {"steps": 0}) == 0.0
    assert epsilon(**usual | {"noise": 0.0}) == math.inf


@pytest.mark.parametrize("wanted", [0.5, 3.0, 20.0])
def test_noise_for_an_epsilon(wanted: float) -> None:
    usual = {"sample_rate": 0.05, "steps": 200, "delta": 1e-5}
    noise = noise_for(epsilon=wanted, **usual)
    assert epsilon(noise=noise, **usual) <= wanted < epsilon(noise=noise * (1 - 1e-4), **usual)


def test_refused() -> None:
    with pytest.raises(ConfigError, match="sampling rate is a probability"):
        epsilon(sample_rate=1.5, noise=1.0, steps=1, delta=1e-5)
    with pytest.raises(ConfigError, match="delta is a probability"):
        epsilon(sample_rate=0.5, noise=1.0, steps=1, delta=0.0)
    with pytest.raises(ConfigError, match="must not be negative"):
        epsilon(sample_rate=0.5, noise=-1.0, steps=1, delta=0.1)
    with pytest.raises(ConfigError, match="finite number above 0"):
        noise_for(epsilon=math.inf, sample_rate=0.5, steps=1, delta=0.1)
    with pytest.raises(ConfigError, match="no noise gives so small an epsilon"):
        noise_for(epsilon=1e-9, sample_rate=0.5, steps=10, delta=1e-300)
