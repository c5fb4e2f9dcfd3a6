"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from trivium.errors import ConfigError
from trivium.training.ema import MovingAverage


def test_follows_the_weights_by_its_equation() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    average = MovingAverage({"w": weight}, 0.9)
    expected = 1.0
    for updates, value in enumerate([2.0, 5.0, -3.0, 4.0], start=1):
        with torch.no_grad():
            weight.fill_(value)
        average.update(updates)
        decay = min(0.9, (1 + updates) / (10 + updates))
        expected = decay * expected + (1 - decay) * value
        assert average.tensors["w"].item() == pytest.approx(expected, rel=1e-12)
    average.update(10**6)
    assert average.tensors["w"].item() == pytest.approx(0.9 * expected + 0.1 * 4.0, rel=1e-12)


def test_in_place_for_the_block_only() -> None:
    weight = nn.Parameter(torch.randn(3))
    average = MovingAverage({"w": weight}, 0.9)
    own = weight.detach().clone()
    average.tensors["w"] += 1
    with average.in_place():
        assert torch.equal(weight, average.tensors["w"])
    assert torch.equal(weight, own)


def test_a_decay_is_a_fraction() -> None:
    with pytest.raises(ConfigError, match="fraction"):
        MovingAverage({}, 1.0)
