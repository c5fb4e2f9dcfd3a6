"""Additive attention is the paper's formula."""

import torch

from trivium.nn.attention.additive import AdditiveAttention


def test_equations() -> None:
    attention = AdditiveAttention(4, 6, 5).double()
    query, memory = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)
    visible = torch.tensor([[True, True, True], [True, True, False]])
    context, weights = attention(query[:, None], memory, attention.project(memory), visible)
    context, weights = context[:, 0], weights[:, 0]
    w, u, v = attention.query.weight, attention.key.weight, attention.score.weight[0]
    for b, n in enumerate((3, 2)):
        energies = torch.stack([v @ torch.tanh(w @ query[b] + u @ memory[b, j]) for j in range(n)])
        alpha = energies.exp() / energies.exp().sum()
        torch.testing.assert_close(weights[b, :n], alpha, rtol=0, atol=1e-12)
        torch.testing.assert_close(context[b], (alpha[:, None] * memory[b, :n]).sum(0), rtol=0, atol=1e-12)
    assert weights[1, 2] == 0


def test_what_is_not_visible_is_not_seen() -> None:
    attention, query, memory = AdditiveAttention(4, 6, 5), torch.randn(1, 2, 4), torch.randn(1, 3, 6)
    visible = torch.tensor([[True, False, True]])
    context, _ = attention(query, memory, attention.project(memory), visible)
    memory[0, 1] = 1e3
    other, _ = attention(query, memory, attention.project(memory), visible)
    assert torch.equal(context, other)
