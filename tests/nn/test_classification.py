"""Convolution over windows, highway, pooling and the small heads."""

import pytest
import torch

from trivium.nn.classification_head import ClassificationHead, pool
from trivium.nn.convolution import WindowConvolution
from trivium.nn.highway import Highway
from trivium.nn.value_head import ValueHead


def test_windows_by_hand() -> None:
    layer = WindowConvolution(3, 4, 2).double()
    x, lengths = torch.randn(3, 5, 3, dtype=torch.float64), torch.tensor([5, 3, 1])
    x = torch.where((torch.arange(5) < lengths[:, None])[:, :, None], x, 0.0)
    out = layer(x, lengths)
    weight, bias = layer.convolution.weight, layer.convolution.bias
    for b, windows in enumerate((4, 2, 1)):
        for t in range(5):
            wanted = torch.zeros(4, dtype=torch.float64)
            if t < windows:
                window = torch.stack([x[b, t], x[b, t + 1] if t + 1 < 5 else torch.zeros(3).double()], dim=1)
                wanted = ((weight * window).sum((1, 2)) + bias).relu()
            torch.testing.assert_close(out[b, t], wanted, rtol=0, atol=1e-12)


def test_highway_carries_first() -> None:
    layer, x = Highway(6), torch.randn(4, 6)
    gate = torch.sigmoid(layer.gate(x))
    assert gate.mean() < 0.3
    torch.testing.assert_close(layer(x), gate * layer.transform(x).relu() + (1 - gate) * x)


@pytest.mark.parametrize("pooling", ["first", "last", "mean", "max"])
def test_pooling_ignores_padding(pooling: str) -> None:
    hidden, lengths = torch.randn(2, 5, 3), torch.tensor([2, 5])
    hidden[0, 2:] = float("nan")
    pooled = pool(hidden, lengths, pooling)
    row = hidden[0, :2]
    assert torch.equal(pooled[0], {"first": row[0], "last": row[1], "mean": row.mean(0), "max": row.amax(0)}[pooling])
    torch.testing.assert_close(pooled[1], pool(hidden[1:], None, pooling)[0])


def test_heads() -> None:
    head = ClassificationHead(3, 4, pooling="mean", transform=torch.nn.Tanh())
    hidden = torch.randn(2, 5, 3)
    torch.testing.assert_close(head(hidden), head.output(torch.tanh(hidden.mean(1))))
    critic = ValueHead(3)
    assert not critic(hidden).any()
    assert critic(hidden).shape == (2, 5)
    torch.nn.init.normal_(critic.output.weight)
    torch.testing.assert_close(critic(hidden), hidden @ critic.output.weight[0])
