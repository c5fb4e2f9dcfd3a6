"""The gated layer's written-out gradient is the true one."""

import pytest
import torch

from trivium.nn.feedforward import ACTIVATIONS, GatedFeedForward


@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_value_and_gradient(activation: str) -> None:
    torch.manual_seed(0)
    layer = GatedFeedForward(6, 10, activation).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    gate, up = (x @ layer.gate_up.weight.T).chunk(2, dim=-1)
    expected = (ACTIVATIONS[activation](gate) * up) @ layer.down.weight.T
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    inputs, upstream = [x, *layer.parameters()], torch.randn_like(expected)
    got = torch.autograd.grad(layer(x), inputs, upstream)
    for a, b in zip(got, torch.autograd.grad(expected, inputs, upstream), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
