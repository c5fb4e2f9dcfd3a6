"""Sparse attention against the masked whole matrix, and the patterns against the sets of the papers."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention import sparse
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import causal_layout, plain_layout
from trivium.nn.attention.sparse import (
    BlockSparse,
    Fixed,
    Near,
    Pattern,
    Strided,
    attend_sparse,
    sees,
    sparse_probabilities,
)
from trivium.nn.state import State

PATTERNS = [Near(3), Strided(4), Fixed(5, 2), BlockSparse(3, before=2, firsts=2), BlockSparse(4, before=0, firsts=1)]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=str)


def by_the_paper(pattern: Pattern, i: int) -> set[int]:
    """S_i of Child et al. 2019, section 4.3, both parts at once, and the blocks of a decoder's BigBird."""
    past = range(i + 1)
    match pattern:
        case Near(tokens=w):
            return {j for j in past if j > i - w}
        case Strided(block=length):
            return {*range(max(0, i - length), i + 1)} | {j for j in past if (i - j) % length == 0}
        case Fixed(block=length, summaries=c):
            t = length - c
            return {j for j in past if j // length == i // length} | {j for j in past if j % length in range(t, length)}
        case BlockSparse(block=length, before=before, firsts=firsts):
            mine = i // length
            return {j for j in past if j // length in range(mine - before, mine + 1) or j // length < firsts}
    raise AssertionError


def distance_bias(queries: Tensor, keys: Tensor) -> Tensor:
    apart = (queries[..., :, None] - keys[..., None, :]).double()[..., None, :, :]
    return -apart.abs() * torch.tensor([0.5, 0.25], dtype=torch.float64)[:, None, None]


HOWS = {
    "plain": Scoring(),
    "all": Scoring(scale=0.3, bias=distance_bias, soft_cap=2.0, sinks=torch.tensor([0.5, -1.0], dtype=torch.float64)),
}


def drawn(length: int, groups: int = 2) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, h, length, 4, dtype=torch.float64, requires_grad=True) for h in (2, groups, groups)]


@every_pattern
def test_what_is_seen(pattern: Pattern) -> None:
    places = torch.arange(23)
    for i, row in enumerate(sees(pattern, places, places)):
        assert set(row.nonzero()[:, 0].tolist()) == by_the_paper(pattern, i)


@every_pattern
@pytest.mark.parametrize("how", HOWS.values(), ids=list(HOWS))
@pytest.mark.parametrize("few", [0, 1000])  # by groups, and by the whole matrix
def test_a_whole_text(monkeypatch: pytest.MonkeyPatch, pattern: Pattern, how: Scoring, few: int) -> None:
    monkeypatch.setattr(sparse, "_FEW", few)
    monkeypatch.setattr(sparse, "_PIECE", 8)
    q, k, v = drawn(22, groups=1)
    layout = plain_layout(q.transpose(1, 2), causal=True)
    weights = sparse_probabilities(q, k, layout, pattern, how)
    assert torch.equal(weights[0, 0] > 0, sees(pattern, layout.positions, layout.positions)[0])
    wanted, got = weights @ v, attend_sparse(q, k, v, layout, pattern, how)
    assert torch.allclose(got, wanted, rtol=0, atol=1e-10)
    upstream = torch.randn_like(got)
    for ours, theirs in zip(
        torch.autograd.grad(got, (q, k, v), upstream), torch.autograd.grad(wanted, (q, k, v), upstream), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


@every_pattern
def test_a_cache(pattern: Pattern) -> None:
    """A piece, then single tokens, of rows that are equally long and of rows that are not."""
    q, k, v = (x.detach() for x in drawn(24))
    whole = sparse_probabilities(q, k, plain_layout(q.transpose(1, 2), causal=True), pattern, Scoring()) @ v
    for lengths in ([20, 20], [20, 17]):
        state = State.of_caches(2, 2, 30, 4, layers=1, like=v)
        layout, state = causal_layout(
            q[:, :, :20].transpose(1, 2), lengths=torch.tensor(lengths), segments=None, state=state
        )
        attend_sparse(q[:, :, :20], k[:, :, :20], v[:, :, :20], layout, pattern, Scoring(), state.layers[0])
        for step in range(3):
            new = [torch.stack([x[b, :, [n + step]] for b, n in enumerate(lengths)]) for x in (q, k, v)]
            layout, state = causal_layout(new[0].transpose(1, 2), lengths=None, segments=None, state=state)
            got = attend_sparse(*new, layout, pattern, Scoring(), state.layers[0])
            for b, n in enumerate(lengths):
                assert torch.allclose(got[b, :, 0], whole[b, :, n + step], rtol=0, atol=1e-10)


def test_the_whole_matrix_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    softmax = torch.softmax

    def counted(scores: Tensor, dim: int) -> Tensor:
        made.append(scores.numel())
        return softmax(scores, dim=dim)

    monkeypatch.setattr(torch, "softmax", counted)
    x = torch.zeros(1, 1, 1024, 2)
    for pattern, keys in ((Strided(32), 64 + 32), (Fixed(32, 2), 32 + 64), (BlockSparse(32, 1, 1), 64 + 32)):
        made.clear()
        attend_sparse(x, x, x, plain_layout(x.transpose(1, 2), causal=True), pattern, Scoring())
        assert made == [1024 * keys]
