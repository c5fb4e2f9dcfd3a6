"""Relative position vectors against equations 3 and 4 of the paper."""

import pytest
import torch

from trivium.nn.attention import related
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.related import attend_related
from trivium.nn.positions.shaw import ShawRelation

B, H, T, K = 2, 2, 9, 3


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("window", [None, 4])
def test_the_equations(monkeypatch: pytest.MonkeyPatch, values: bool, window: int | None) -> None:
    monkeypatch.setattr(related, "_PIECE", 4)
    torch.manual_seed(0)
    relation = ShawRelation(K, 3, values=values).double()
    q, k, v = (torch.randn(B, H, T, K, dtype=torch.float64, requires_grad=True) for _ in range(3))
    layout = plain_layout(q.transpose(1, 2), causal=True)
    got = attend_related(q, k, v, layout, relation(T), Scoring(window=window))
    wanted = torch.zeros_like(got)
    for b, h, i in torch.cartesian_prod(torch.arange(B), torch.arange(H), torch.arange(T)).tolist():
        past = torch.arange(0 if window is None else max(0, i - window + 1), i + 1)
        clipped = (i - past).clamp(max=3)
        weights = torch.softmax((k[b, h, past] + relation.keys[clipped]) @ q[b, h, i] / K**0.5, dim=0)
        gathered = v[b, h, past] if relation.values is None else v[b, h, past] + relation.values[clipped]
        wanted[b, h, i] = weights @ gathered
    assert torch.allclose(got, wanted, rtol=0, atol=1e-10)
    upstream, leaves = torch.randn_like(got), (q, k, v, *relation.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(got, leaves, upstream), torch.autograd.grad(wanted, leaves, upstream), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
