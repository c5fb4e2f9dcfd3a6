"""Windows, soft caps and sinks on every path: the plain whole-matrix computation, in fp64 to 1e-10.

Of what is shared by rows, too: attention to a source.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from trivium.nn.attention.dot_product import (
    attend,
    attention_probabilities,
    cross_attend,
    cross_attention_probabilities,
)
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import causal_layout, plain_layout
from trivium.nn.state import State

ROWS, SOURCES, HEADS, GROUPS, LENGTH, WIDTH = 6, 2, 4, 2, 5, 4

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "window of 1": {"window": 1},
    "window": {"window": 5},
    "window longer than the text": {"window": 64},
    "soft cap": {"soft_cap": 1.5},
    "sinks": {"sinks": torch.tensor([0.3, -1.0, 2.0, 0.0], dtype=torch.float64)},
    "bias and window": {"bias": lambda queries, keys: 0.1 * _distances(queries, keys), "window": 6},
}
WAYS["all"] = WAYS["bias and window"] | WAYS["soft cap"] | WAYS["sinks"] | {"scale": 0.7}
every_way = pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())


def _distances(queries: Tensor, keys: Tensor) -> Tensor:
    """``[.., H, T, S]``, another for each head."""
    apart = (queries[..., :, None] - keys[..., None, :])[..., None, :, :]
    return apart * torch.arange(1.0, HEADS + 1, dtype=torch.float64)[:, None, None]


def qkv(rows: int, length: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    heads = (HEADS, GROUPS, GROUPS)
    return [torch.randn(rows, n, length, WIDTH, generator=generator, dtype=torch.float64) for n in heads]


def whole(q: Tensor, k: Tensor, v: Tensor, how: dict[str, Any]) -> Tensor:
    """One text after the other, as one matrix."""
    layout = plain_layout(q[:, 0], causal=True)
    return attention_probabilities(q, k, layout, Scoring(**how)) @ v.repeat_interleave(HEADS // GROUPS, dim=1)


def near_enough(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_the_whole_matrix_is_what_the_papers_say() -> None:
    """By hand: Gemma 2's cap is before the softmax, gpt-oss's sink has a share and no value."""
    q, k, v = qkv(1, 9)
    how = WAYS["soft cap"] | WAYS["sinks"] | {"window": 3}
    got = whole(q, k, v, how)
    for head in range(HEADS):
        for t in range(9):
            seen = slice(max(0, t - 2), t + 1)
            scores = k[0, head // 2, seen] @ q[0, head, t] / WIDTH**0.5
            powers = (1.5 * torch.tanh(scores / 1.5)).exp()
            share = powers / (powers.sum() + how["sinks"][head].exp())
            near_enough(got[0, head, t], share @ v[0, head // 2, seen])


@every_way
@pytest.mark.parametrize("length", [1, 6, 37])
def test_plain_texts(how: dict[str, Any], length: int) -> None:
    q, k, v = qkv(2, length)
    near_enough(attend(q, k, v, plain_layout(q[:, 0], causal=True), Scoring(**how)), whole(q, k, v, how))


@pytest.mark.parametrize("name", ["window", "soft cap", "all"])
def test_texts_longer_than_a_piece(name: str) -> None:
    q, k, v = qkv(1, 300)
    near_enough(attend(q, k, v, plain_layout(q[:, 0], causal=True), Scoring(**WAYS[name])), whole(q, k, v, WAYS[name]))


@every_way
def test_packed_documents_with_padding(how: dict[str, Any]) -> None:
    q, k, v = qkv(2, 37)
    segments = torch.tensor([[0] * 10 + [1] * 26 + [2], [3] * 10 + [4] * 20 + [-1] * 7])
    layout = plain_layout(q[:, 0], causal=True, segments=segments)
    got = attend(q, k, v, layout, Scoring(**how))
    weights = attention_probabilities(q, k, layout, Scoring(**how))
    for row, start, end in ((0, 0, 10), (0, 10, 36), (0, 36, 37), (1, 0, 10), (1, 10, 30)):
        one = slice(row, row + 1), slice(None), slice(start, end)
        near_enough(got[one], whole(q[one], k[one], v[one], how))
        shown = weights[*one, start:end]
        near_enough(shown @ v[one].repeat_interleave(2, dim=1), whole(q[one], k[one], v[one], how))


@every_way
def test_in_pieces_with_a_cache(how: dict[str, Any]) -> None:
    """A prompt, a few tokens, one, and a long piece, of equally long rows."""
    q, k, v = qkv(2, 37)
    state, pieces = State.of_caches(2, GROUPS, 40, WIDTH, layers=1, like=q), []
    for start, end in ((0, 12), (12, 15), (15, 16), (16, 37)):
        layout, after = causal_layout(q[:, 0, start:end], lengths=None, segments=None, state=state)
        assert after is not None
        new = (x[:, :, start:end] for x in (q, k, v))
        pieces.append(attend(*new, layout, Scoring(**how), cache=state.layers[0]))
        state = after
    near_enough(torch.cat(pieces, dim=2), whole(q, k, v, how))


@every_way
def test_rows_of_unequal_length_with_a_cache(how: dict[str, Any]) -> None:
    """Padded rows, then a token a row, then packed tokens of some rows (the ragged step)."""
    q, k, v = qkv(3, 37)
    wanted, state = whole(q, k, v, how), State.of_caches(3, GROUPS, 40, WIDTH, layers=1, like=q)
    seen = torch.zeros(3, dtype=torch.long)
    for new in ([9, 4, 1], [1, 1, 1], [0, 3, 8]):
        length = max(new)
        places = (seen[:, None] + torch.arange(length)).clamp(max=36)
        pieces = [x.gather(2, places[:, None, :, None].expand(-1, x.shape[1], -1, WIDTH)) for x in (q, k, v)]
        layout, after = causal_layout(pieces[0][:, 0], lengths=torch.tensor(new), segments=None, state=state)
        assert after is not None
        got = attend(*pieces, layout, Scoring(**how), cache=state.layers[0])
        for row, count in enumerate(new):
            begin = int(seen[row])
            near_enough(got[row, :, :count], wanted[row, :, begin : begin + count])
        seen, state = seen + torch.tensor(new), after
    assert seen.tolist() == [10, 8, 10]
    packed = [torch.cat([x[2:, :, 10:21], x[:1, :, 10:12]], dim=2) for x in (q, k, v)]
    segments = torch.tensor([[2] * 11 + [0] * 2])
    layout, _ = causal_layout(packed[0][:, 0], lengths=None, segments=segments, state=state)
    got = attend(*packed, layout, Scoring(**how), cache=state.layers[0])
    near_enough(got[0], torch.cat([wanted[2, :, 10:21], wanted[0, :, 10:12]], dim=1))


@pytest.mark.parametrize("name", ["window", "soft cap", "sinks", "all"])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients(name: str, packed: bool) -> None:
    q, k, v = (x.requires_grad_() for x in qkv(1, 30))
    how = dict(WAYS[name])
    asked = [q, k, v]
    if "sinks" in how:
        how["sinks"] = how["sinks"].clone().requires_grad_()
        asked.append(how["sinks"])
    segments = torch.tensor([[0] * 23 + [1] * 7]) if packed else None
    layout = plain_layout(q[:, 0], causal=True, segments=segments)
    dense = attention_probabilities(q, k, layout, Scoring(**how)) @ v.repeat_interleave(HEADS // GROUPS, dim=1)
    upstream = torch.randn_like(dense)
    ours = torch.autograd.grad(attend(q, k, v, layout, Scoring(**how)), asked, upstream)
    for got, wanted in zip(ours, torch.autograd.grad(dense, asked, upstream), strict=True):
        near_enough(got, wanted)


def test_rows_that_share_a_source_see_what_rows_of_their_own_would() -> None:
    torch.manual_seed(0)
    keys, values = (torch.randn(SOURCES, HEADS, LENGTH, WIDTH, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([5, 3])
    apart = [each.repeat_interleave(ROWS // SOURCES, dim=0) for each in (keys, values, lengths)]
    for tokens in (1, 2):
        q = torch.randn(ROWS, HEADS, tokens, WIDTH, dtype=torch.float64)
        shared = cross_attend(q, keys, values, lengths, scale=0.7)
        torch.testing.assert_close(shared, cross_attend(q, *apart, scale=0.7))
        weights = cross_attention_probabilities(q, keys, lengths, scale=0.7)
        torch.testing.assert_close(weights, cross_attention_probabilities(q, apart[0], apart[2], scale=0.7))
        torch.testing.assert_close(weights @ apart[1], shared)
