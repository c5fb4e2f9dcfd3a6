"""Rotary attention against attention written out, and the norms of queries and keys by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.rotary_attention import LayerNormOfHeads, NormOverHeads, RotaryAttention
from trivium.nn.norms import RMSNorm
from trivium.nn.positions.rope import Rope, Rotary, rotate


def built(**options: object) -> tuple[RotaryAttention, Tensor, Tensor]:
    torch.manual_seed(0)
    attention = RotaryAttention(10, 4, 2, 6, **options).double()
    for parameter in attention.parameters():  # nothing may be hidden by a gain of 1 or a bias of 0
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = torch.randn(2, 7, 10, dtype=torch.float64)
    rotation = Rotary(Rope(), 6, 16)(torch.arange(7)[None], torch.float64)
    return attention, x, rotation


def written_out(attention: RotaryAttention, x: Tensor, rotation: Tensor | None, neighbours: bool = False) -> Tensor:
    q, k, v = F.linear(x, attention.qkv.weight, attention.qkv.bias).split(attention.sizes, dim=-1)
    q, k, v = (part.unflatten(-1, (-1, 6)) for part in (q, k, v))
    if attention.query_norm is not None and attention.key_norm is not None:
        q, k = attention.query_norm(q), attention.key_norm(k)
    if rotation is not None:
        q, k = rotate(q, rotation, neighbours), rotate(k, rotation, neighbours)
    k, v = (part.repeat_interleave(2, dim=2) for part in (k, v))  # heads 0 and 1 share the first, 2 and 3 the second
    scores = torch.einsum("bthk,bshk->bhts", q, k) * 6**-0.5
    scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), float("-inf"))
    mixed = torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v)
    return F.linear(mixed.flatten(2), attention.output.weight, attention.output.bias)


@pytest.mark.parametrize(
    ("options", "turned"),
    [
        ({}, True),
        ({}, False),
        ({"bias": True, "output_bias": True}, True),
        ({"neighbours": True}, True),
        ({"norms": (RMSNorm(6), RMSNorm(6))}, True),
        ({"norms": (NormOverHeads(4, 6, 1e-6), NormOverHeads(2, 6, 1e-6))}, True),
        ({"norms": (LayerNormOfHeads(4, 6, 1e-6), LayerNormOfHeads(2, 6, 1e-6))}, False),
    ],
)
def test_is_attention_written_out(options: dict[str, object], turned: bool) -> None:
    attention, x, rotation = built(**options)
    found = attention(x, plain_layout(x, causal=True), rotation if turned else None)
    expected = written_out(attention, x, rotation if turned else None, "neighbours" in options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_norm_over_all_heads_of_a_token() -> None:
    norm = NormOverHeads(2, 3, 1e-6).double()
    norm.norm.weight.data = torch.arange(1.0, 7.0, dtype=torch.float64)
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64)
    flat = x.flatten(2)
    expected = flat / (flat.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.norm.weight
    torch.testing.assert_close(norm(x), expected.view(1, 2, 2, 3))


def test_layer_norm_of_each_head_by_itself() -> None:
    norm = LayerNormOfHeads(2, 3, 1e-6).double()
    norm.weight.data = torch.arange(1.0, 7.0, dtype=torch.float64).view(2, 3)
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64)
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
