"""Relative bias: buckets by hand, and one table for all the ways a layout asks. (Buckets against T5: tests/parity.)"""

import torch
from torch import nn

from trivium.nn.attention.layout import plain_layout
from trivium.nn.positions.relative import RelativeBias, distance_bucket


def test_buckets_by_hand() -> None:
    distances = torch.arange(-40, 3)
    buckets = distance_bucket(distances, 8, furthest=32, bidirectional=False)
    assert buckets[-3:].tolist() == [0, 0, 0]  # the key's own position, and those to its right
    assert buckets[-7:-3].tolist() == [4, 3, 2, 1]  # exact up to half of the buckets
    assert buckets[0] == 7
    assert (buckets[1:] <= buckets[:-1]).all()
    both = distance_bucket(torch.tensor([-3, -1, 0, 1, 3, 100]), 8, furthest=32, bidirectional=True)
    assert both.tolist() == [2, 1, 0, 5, 6, 7]


def test_bias_depends_on_the_distance_alone() -> None:
    bias = RelativeBias(2, 8, 32, bidirectional=True)
    nn.init.normal_(bias.weight)
    layout = plain_layout(torch.zeros(3, 6, 1), causal=False)
    whole = bias(layout.positions, layout.key_positions)
    assert whole.shape == (1, 2, 6, 6)
    for offset in range(-5, 6):
        diagonal = whole[0].diagonal(offset, dim1=-2, dim2=-1)
        assert torch.equal(diagonal, diagonal[:, :1].expand_as(diagonal))
    later = bias(layout.positions[:, 4:], layout.key_positions)
    assert torch.equal(later, whole[:, :, 4:])


def test_shared_by_layers() -> None:
    bias = RelativeBias(2, 8, 32, bidirectional=True)
    nn.init.normal_(bias.weight)
    layout = plain_layout(torch.zeros(1, 6, 1), causal=False)
    shared = bias.shared(layout)
    first = shared(layout.positions, layout.key_positions)
    assert shared(layout.positions, layout.key_positions) is first
    packed = plain_layout(torch.zeros(1, 6, 1), causal=False, segments=torch.tensor([[0, 0, 1, 1, 1, 1]]))
    documents = bias.shared(packed)
    for size in (2, 4):
        alone = torch.arange(size)
        assert torch.equal(documents(alone[None], alone), bias(alone[None], alone))
        assert documents(alone[None], alone) is documents(alone[None], alone)
