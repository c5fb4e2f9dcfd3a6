"""The rows of a projection by group."""

import torch

from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.megatron_attention import MegatronAttention
from trivium.nn.positions.rope import Rope, Rotary


def test_rows_of_a_group_are_its_queries_its_key_and_its_value() -> None:
    attention = MegatronAttention(12, 4, 2, bias=True).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    q, k, v = attention.project(x, None)
    heads = attention.qkv(x).unflatten(-1, (8, 3)).transpose(1, 2)
    assert torch.equal(q, heads[:, [0, 1, 4, 5]])
    assert torch.equal(k, heads[:, [2, 6]])
    assert torch.equal(v, heads[:, [3, 7]])


def test_whole_groups_are_attention_by_themselves() -> None:
    """What the layout is for: half of the rows, and of the columns of the output, could be on another processor."""
    both = MegatronAttention(12, 4, 2, bias=False).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    layout = plain_layout(x, causal=True)
    rotation = Rotary(Rope(), 2, 8)(layout.positions, x.dtype)
    parts = []
    for group in range(2):
        half = MegatronAttention(12, 4, 2, bias=False).double()
        half.heads, half.groups = 2, 1
        half.qkv.weight.data = both.qkv.weight.data[12 * group : 12 * (group + 1)]
        half.output.weight.data = both.output.weight.data[:, 6 * group : 6 * (group + 1)]
        parts.append(half(x, layout, rotation=rotation))
    torch.testing.assert_close(parts[0] + parts[1], both(x, layout, rotation=rotation), rtol=0, atol=1e-12)
