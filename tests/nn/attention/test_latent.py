"""Latent attention: the equations of the paper, absorbed as expanded, and a cache of R + K_r numbers a token."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trivium.nn.attention.latent import LatentAttention, LatentCache
from trivium.nn.attention.layout import causal_layout
from trivium.nn.positions.rope import Rope, Rotary, rotate
from trivium.nn.quantized import NF4Linear
from trivium.nn.state import LayerState, State

D, H, K, TURNED, V, R = 20, 3, 4, 6, 5, 16
ROTARY = Rotary(Rope(), TURNED, 64)


def attention(query_rank: int | None = 7, **options) -> LatentAttention:
    torch.manual_seed(2)
    widths = {"rank": R, "rotary_width": TURNED, "value_width": V}
    layer = LatentAttention(D, H, K, query_rank=query_rank, bias=True, **widths, **options).double().eval()
    for parameter in layer.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return layer


def run(layer: LatentAttention, x: Tensor, state: State | None = None, **rows) -> tuple[Tensor, State | None]:
    layout, state = causal_layout(x, **({"lengths": None, "segments": None} | rows), state=state)
    cache = None if state is None else state.layers[0]
    return layer(x, layout, ROTARY(layout.positions, x.dtype), cache), state


def begun(layer: LatentAttention, x: Tensor, lengths: list[int]) -> State:
    """What is remembered of the first tokens of each row."""
    cache = LatentCache.empty(x.shape[0], 24, R + TURNED, like=x)
    empty = State([cache], torch.zeros(x.shape[0], dtype=torch.long))
    state = run(layer, x, empty, lengths=torch.tensor(lengths))[1]
    assert state is not None
    return state


def copied(state: State) -> State:
    return pytree.tree_map(torch.clone, state)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("query_rank", [None, 7])
@pytest.mark.parametrize("neighbours", [True, False])
def test_it_is_what_the_equations_say(query_rank: int | None, neighbours: bool) -> None:
    """Eq. 9 to 19 of the paper, one head and one token at a time."""
    layer = attention(query_rank, neighbours=neighbours)
    x = torch.randn(1, 6, D, dtype=torch.float64)
    turn = ROTARY(torch.arange(6)[None], x.dtype)
    base = x if layer.query_down is None else layer.query_norm(layer.query_down(x))
    q = layer.query_up(base).view(6, H, K + TURNED)
    compressed, key = layer.down(x)[0].split([R, TURNED], dim=-1)
    compressed = layer.norm(compressed)
    key = rotate(key[None, :, None], turn, neighbours)[0, :, 0]
    turned = rotate(q[None, :, :, K:], turn, neighbours)[0]
    up = layer.up.weight.view(H, K + V, R)
    rows = []
    for t in range(6):
        heads = []
        for h in range(H):
            keys = [torch.cat([up[h, :K] @ compressed[s], key[s]]) for s in range(t + 1)]
            scores = torch.stack([torch.cat([q[t, h, :K], turned[t, h]]) @ k for k in keys]) / (K + TURNED) ** 0.5
            heads.append(sum(w * (up[h, K:] @ compressed[s]) for s, w in enumerate(scores.softmax(0))))
        rows.append(layer.output(torch.cat(heads)))
    same(run(layer, x)[0][0], torch.stack(rows))


NEXT = {
    "one token": ([5, 5, 5], (3, 1), {}),
    "one token of unequal rows": ([5, 2, 7], (3, 1), {}),
    "one token of some rows": ([5, 2, 7], (3, 1), {"lengths": torch.tensor([1, 0, 1])}),
    "one token of packed rows": ([5, 2, 7], (1, 2), {"segments": torch.tensor([[2, 0]])}),
    "some tokens": ([5, 5, 5], (3, 3), {}),
    "some tokens of unequal rows": ([5, 2, 7], (3, 3), {"lengths": torch.tensor([3, 1, 2])}),
}


@pytest.mark.parametrize("case", NEXT)
def test_absorbed_is_expanded(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, shape, rows = NEXT[case]
    layer = attention()
    state = begun(layer, torch.randn(3, 7, D, dtype=torch.float64), lengths)
    x = torch.randn(*shape, D, dtype=torch.float64)
    real = torch.ones(shape, dtype=torch.bool)
    if "lengths" in rows:
        real = torch.arange(shape[1]) < rows["lengths"][:, None]
    found = []
    for absorbs in (True, False):
        monkeypatch.setattr(layer, "_absorbs", lambda *_, absorbs=absorbs: absorbs)
        out, after = run(layer, x, copied(state), **rows)
        found.append((out, after))
    (a, state_a), (b, state_b) = found
    same(a[real], b[real])
    assert torch.equal(state_a.layers[0].tokens, state_b.layers[0].tokens)
    assert torch.equal(state_a.lengths, state_b.lengths)


@pytest.mark.parametrize("case", [case for case in NEXT if case.startswith("one")])
def test_keys_are_not_expanded_for_one_token(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, shape, rows = NEXT[case]
    layer = attention()
    state = begun(layer, torch.randn(3, 7, D, dtype=torch.float64), lengths)
    monkeypatch.setattr(layer, "_keys_and_values", None)
    run(layer, torch.randn(*shape, D, dtype=torch.float64), state, **rows)


def test_many_tokens_expand_what_was_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """R (K + V) / (2 R - K - V) = 144 / 23: seven tokens are more work when absorbed, six are less."""
    layer, expanded = attention(), []
    monkeypatch.setattr(layer, "_absorbed", lambda plain, *_: expanded.append(False) or plain.new_zeros(1, H, 6, V))
    for length in (6, 7):
        state = begun(layer, torch.randn(1, 7, D, dtype=torch.float64), [7])
        run(layer, torch.randn(1, length, D, dtype=torch.float64), state)
        expanded.append(True)
    assert expanded == [False, True, True]


def test_what_stands_in_the_place_of_the_projection_is_called() -> None:
    """An adapter is no plain linear layer: its weight, if it has one, is not all that it does."""

    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.inner(x)

    layer = attention()
    layer.up = Doubled(layer.up)
    x = torch.randn(1, 6, D, dtype=torch.float64)
    whole = run(layer, x)[0]
    state = begun(layer, x[:, :5], [5])
    same(run(layer, x[:, 5:], state)[0], whole[:, 5:])


@pytest.mark.parametrize("length", [1, 7])
def test_a_packed_projection_with_a_cache(length: int) -> None:
    """Cached is uncached, absorbed (one token) and expanded (seven)."""
    layer = attention()
    layer.up = NF4Linear(layer.up.weight)
    x = torch.randn(1, 5 + length, D, dtype=torch.float64)
    same(run(layer, x[:, 5:], begun(layer, x[:, :5], [5]))[0], run(layer, x)[0][:, 5:])


def test_dropout_while_training_with_a_cache() -> None:
    layer = attention(dropout=0.5).train()
    x = torch.randn(1, 6, D, dtype=torch.float64)
    one, other = (run(layer, x[:, 5:], begun(layer, x[:, :5], [5]))[0] for _ in range(2))
    assert not torch.allclose(one, other)


def cache_state() -> State:
    return State([LatentCache(torch.arange(3 * 4 * 5.0).view(3, 4, 5))], torch.tensor([1, 4, 2]))


def tokens(state: State) -> Tensor:
    (layer,) = state.layers
    assert isinstance(layer, LatentCache)
    return layer.tokens


def test_a_token_is_remembered_by_its_rank_and_one_rotary_key() -> None:
    cache = LatentCache.empty(2, 10, R + TURNED, like=torch.zeros(1))
    assert isinstance(cache, LayerState)
    assert sum(leaf.numel() for leaf in pytree.tree_leaves(cache)) == 2 * 10 * (R + TURNED)


def test_verbs_of_the_cache() -> None:
    state = cache_state()
    before = tokens(state).clone()
    taken = state.take(torch.tensor([2, 0, 2]))
    assert torch.equal(tokens(taken), before[[2, 0, 2]]) and taken.lengths.tolist() == [2, 1, 2]
    assert torch.equal(tokens(state.reorder(torch.tensor([1, 1, 0]))), before[[1, 1, 0]])
    joined = state.take(torch.tensor([0])).join(state.take(torch.tensor([1, 2])))
    assert torch.equal(tokens(joined), before) and joined.lengths.tolist() == [1, 4, 2]
    assert state.keep(torch.tensor([True, False, True])).lengths.tolist() == [1, 0, 2]
    assert state.rollback(torch.tensor([0, 3, 2])).lengths.tolist() == [0, 3, 2]
    room = state.reserve(5, 6)
    assert torch.equal(tokens(room)[:3, :4], before) and tokens(room)[3:].abs().sum() == 0
    put = room.put(torch.tensor([4, 0]), state.take(torch.tensor([2, 1])))
    assert put.lengths.tolist() == [4, 4, 2, 0, 2]
    assert torch.equal(tokens(put)[[4, 0, 1], :4], before[[2, 1, 1]])
    first = put.first(2)
    tokens(first).zero_()
    assert tokens(put)[:2].abs().sum() == 0 < tokens(put)[2:].abs().sum()
    assert tokens(put.put(torch.tensor([0, 1]), first)) is tokens(put)
    learned = State([LatentCache(torch.ones(1, 2, 3, requires_grad=True) * 2)], torch.tensor([1]))
    assert tokens(learned).requires_grad and not tokens(learned.detach()).requires_grad
