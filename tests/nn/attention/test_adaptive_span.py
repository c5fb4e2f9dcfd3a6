"""Learned spans against the equations of the paper."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention import sparse
from trivium.nn.attention.adaptive_span import AdaptiveSpan
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.sparse import attend_sparse

SPANS, RAMP = [0.25, 3.5, 6.75], 4  # between whole distances, where eq. 5 has a gradient


def built() -> AdaptiveSpan:
    span = AdaptiveSpan(3, 16, RAMP).double()
    with torch.no_grad():
        span.share.copy_(torch.tensor(SPANS) / 16)
    return span


def by_the_equation(q: Tensor, k: Tensor, v: Tensor, z: Tensor) -> Tensor:
    out = torch.zeros_like(q)
    for h in range(3):
        for t in range(q.shape[2]):
            x = t - torch.arange(t + 1)
            mask = torch.clamp((RAMP + z[h] - x) / RAMP, 0, 1)
            factors = mask * torch.exp(k[0, h, : t + 1] @ q[0, h, t] * q.shape[-1] ** -0.5)
            out[0, h, t] = factors / factors.sum() @ v[0, h, : t + 1]
    return out


@pytest.mark.parametrize("few", [0, 1000])
def test_the_equation(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(sparse, "_FEW", few)
    torch.manual_seed(0)
    span = built()
    q, k, v = (torch.randn(1, 3, 25, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    layout = plain_layout(q.transpose(1, 2), causal=True)
    got = attend_sparse(q, k, v, layout, span.pattern, Scoring(bias=span))
    wanted = by_the_equation(q, k, v, span.spans)
    assert torch.allclose(got, wanted, rtol=0, atol=1e-10)
    upstream, leaves = torch.randn_like(got), (q, k, v, span.share)
    for ours, theirs in zip(
        torch.autograd.grad(got, leaves, upstream), torch.autograd.grad(wanted, leaves, upstream), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)


def test_keys_beyond_the_longest_span_are_left_out() -> None:
    span = built()
    assert span.pattern.tokens == 7 + RAMP
    seen = span(torch.tensor([20]), torch.tensor([9, 10]))[2, 0] > float("-inf")
    assert seen.tolist() == [False, True]
    assert span.penalty().item() == pytest.approx(sum(SPANS) / 3)


def test_a_span_of_nothing_can_grow() -> None:
    span = AdaptiveSpan(1, 16, RAMP).double()
    with torch.no_grad():
        span.share.fill_(-0.5)  # as far below 0 as an optimiser may have gone
    assert span.spans.item() == 0
    span(torch.tensor([2]), torch.tensor([0])).sum().backward()
    assert span.share.grad is not None and span.share.grad.item() > 0
    (penalised,) = torch.autograd.grad(span.penalty(), span.share)
    assert penalised.item() == 0


def test_distances_are_whole_in_bf16() -> None:
    span, queries, keys = AdaptiveSpan(1, 1024, 32, first=500).bfloat16(), torch.tensor([600]), torch.arange(601)
    got = span(queries, keys)
    wanted = span.float()(queries, keys)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), wanted, rtol=2**-8, atol=1e-6)
