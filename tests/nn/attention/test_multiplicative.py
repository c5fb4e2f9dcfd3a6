"""Multiplicative attention is the paper's formula."""

import pytest
import torch

from trivium.nn.attention.multiplicative import MultiplicativeAttention


@pytest.mark.parametrize("general", [False, True], ids=["dot", "general"])
def test_equations(general: bool) -> None:
    attention = MultiplicativeAttention(4, 6 if general else 4, general=general).double()
    query = torch.randn(2, 5, 4, dtype=torch.float64)
    memory = torch.randn(2, 3, 6 if general else 4, dtype=torch.float64)
    visible = torch.tensor([[True, True, True], [True, True, False]])
    context, weights = attention(query, memory, attention.project(memory), visible)
    matrix = attention.key.weight if general else torch.eye(4, dtype=torch.float64)
    for b, n in enumerate((3, 2)):
        for t in range(5):
            scores = torch.stack([query[b, t] @ matrix @ memory[b, s] for s in range(n)])
            alpha = scores.exp() / scores.exp().sum()
            torch.testing.assert_close(weights[b, t, :n], alpha, rtol=0, atol=1e-12)
            torch.testing.assert_close(context[b, t], (alpha[:, None] * memory[b, :n]).sum(0), rtol=0, atol=1e-12)
    assert not weights[1, :, 2].any()


def test_what_is_not_visible_is_not_seen() -> None:
    attention = MultiplicativeAttention(4, 4, general=True)
    query, memory, visible = torch.randn(1, 2, 4), torch.randn(1, 3, 4), torch.tensor([[True, False, True]])
    context, _ = attention(query, memory, attention.project(memory), visible)
    memory[0, 1] = 1e3
    other, _ = attention(query, memory, attention.project(memory), visible)
    assert torch.equal(context, other)


def test_dot_has_no_parameters() -> None:
    assert not list(MultiplicativeAttention(4, 4, general=False).parameters())
