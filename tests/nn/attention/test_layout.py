"""Packed, ragged, cached and plain attention are one computation: the masked dense one, in fp64 to 1e-10."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention.dot_product import attend, attention_probabilities, cross_attend, dense_mask
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout, causal_layout, plain_layout
from trivium.nn.state import KeyValueCache, State

HEADS, GROUPS, WIDTH = 6, 2, 8


def qkv(rows: int, length: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(rows, HEADS, length, WIDTH), (rows, GROUPS, length, WIDTH), (rows, GROUPS, length, WIDTH)]
    q, k, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return q, k, v


def dense(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> Tensor:
    """The definition, with nothing clever."""
    k, v = (x.repeat_interleave(HEADS // GROUPS, dim=1) for x in (k, v))
    scores = (q @ k.transpose(-1, -2) / WIDTH**0.5).masked_fill(~visible, float("-inf"))
    return torch.softmax(scores, -1).nan_to_num(0.0) @ v


SEGMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2, 2, -1, -1], [0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3]])


@pytest.mark.parametrize("causal", [True, False])
def test_packed_documents_attend_to_themselves_only(causal: bool) -> None:
    q, k, v = qkv(2, 12)
    layout = plain_layout(q.transpose(1, 2), causal=causal, segments=SEGMENTS)
    visible = (SEGMENTS[:, :, None] == SEGMENTS[:, None, :])[:, None]
    if causal:
        visible = visible.tril()
    real = SEGMENTS >= 0
    got, want = attend(q, k, v, layout), dense(q, k, v, visible)
    torch.testing.assert_close(got.transpose(1, 2)[real], want.transpose(1, 2)[real], rtol=0, atol=1e-10)
    assert torch.equal(dense_mask(layout, 2, 12).transpose(1, 2)[real], visible.transpose(1, 2)[real])
    # the probabilities shown to people are those of the same mask
    shown = attention_probabilities(q, k, layout)
    mixed = shown @ v.repeat_interleave(HEADS // GROUPS, dim=1)
    torch.testing.assert_close(mixed.transpose(1, 2)[real], want.transpose(1, 2)[real], rtol=0, atol=1e-10)
    assert layout.positions.tolist()[0][:10] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3]


def test_bidirectional_rows_do_not_see_their_padding() -> None:
    q, k, v = qkv(3, 7)
    lengths = torch.tensor([7, 4, 1])
    layout = plain_layout(q.transpose(1, 2), causal=False, lengths=lengths)
    got = attend(q, k, v, layout)
    for b, n in enumerate(lengths.tolist()):
        alone = attend(
            q[b : b + 1, :, :n],
            k[b : b + 1, :, :n],
            v[b : b + 1, :, :n],
            plain_layout(q[b : b + 1, 0, :n], causal=False),
        )
        torch.testing.assert_close(got[b : b + 1, :, :n], alone, rtol=0, atol=1e-10)


def _feed(
    q: Tensor, k: Tensor, v: Tensor, state: State, lengths: Tensor | None, segments: Tensor | None
) -> tuple[Tensor, State]:
    layout, after = causal_layout(q.transpose(1, 2), lengths=lengths, segments=segments, state=state)
    assert after is not None
    return attend(q, k, v, layout, cache=after.layers[0]), after


def _empty(rows: int, capacity: int) -> State:
    like = torch.zeros((), dtype=torch.float64)
    cache = KeyValueCache.empty(rows, GROUPS, capacity, WIDTH, like=like)
    cache.keys.normal_()  # what a longer past left behind must never be seen
    cache.values.normal_()
    return State([cache], torch.zeros(rows, dtype=torch.long))


@pytest.mark.parametrize("cuts", [[12], [1] * 12, [5, 1, 1, 5], [3, 9]])
def test_cached_steps_equal_one_pass(cuts: list[int]) -> None:
    q, k, v = qkv(2, 12)
    want = attend(q, k, v, plain_layout(q.transpose(1, 2), causal=True))
    state, at, pieces = _empty(2, 16), 0, []
    for n in cuts:
        piece, state = _feed(q[:, :, at : at + n], k[:, :, at : at + n], v[:, :, at : at + n], state, None, None)
        pieces.append(piece)
        at += n
    torch.testing.assert_close(torch.cat(pieces, 2), want, rtol=0, atol=1e-10)
    assert state.lengths.tolist() == [12, 12]


def test_rows_of_unequal_length_step_together() -> None:
    """Ragged prefill with ``lengths``, then single steps: each row as if it were alone."""
    q, k, v = qkv(3, 12)
    want = attend(q, k, v, plain_layout(q.transpose(1, 2), causal=True))
    lengths = torch.tensor([6, 2, 4])
    out, state = _feed(q[:, :, :6], k[:, :, :6], v[:, :, :6], _empty(3, 12), lengths, None)
    for b, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(out[b, :, :n], want[b, :, :n], rtol=0, atol=1e-10)
    for _ in range(4):
        at = state.lengths
        step = [x[torch.arange(3), :, at][:, :, None] for x in (q, k, v)]
        out, state = _feed(*step, state, None, None)
        torch.testing.assert_close(out[:, :, 0], want[torch.arange(3), :, at], rtol=0, atol=1e-10)
    assert state.lengths.tolist() == [10, 6, 8]


def test_ragged_steps_serve_rows_out_of_step() -> None:
    """Tokens of several rows in one ``[1, N]`` call, from an empty cache and into a used one."""
    q, k, v = qkv(3, 12)
    want = attend(q, k, v, plain_layout(q.transpose(1, 2), causal=True))
    state = _empty(3, 12)
    for counts in ([4, 0, 2], [1, 5, 1], [3, 1, 0]):
        rows = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
        columns = torch.cat([torch.arange(n) + int(at) for n, at in zip(counts, state.lengths, strict=True)])
        flat = [x[rows, :, columns].transpose(0, 1)[None] for x in (q, k, v)]
        out, state = _feed(*flat, state, None, rows[None])
        torch.testing.assert_close(out[0].transpose(0, 1), want[rows, :, columns], rtol=0, atol=1e-10)
    assert state.lengths.tolist() == [8, 6, 3]


def test_a_bias_is_added_the_same_way_everywhere() -> None:
    def bias(queries: Tensor, keys: Tensor) -> Tensor:
        distance = (
            queries[..., :, None] - keys[None, None, :] if queries.dim() > 1 else queries[:, None] - keys
        ).double()
        slopes = torch.linspace(0.1, 1.0, HEADS, dtype=torch.float64)
        return -slopes[:, None, None] * distance.abs()[:, None]

    q, k, v = qkv(2, 12)
    plain = plain_layout(q.transpose(1, 2), causal=True)
    want = attend(q, k, v, plain, Scoring(bias=bias))
    assert not torch.allclose(want, attend(q, k, v, plain))
    state, pieces = _empty(2, 12), []
    for at in range(12):
        layout, state = causal_layout(q[:, 0, :1], lengths=None, segments=None, state=state)
        step = [x[:, :, at : at + 1] for x in (q, k, v)]
        pieces.append(attend(*step, layout, Scoring(bias=bias), cache=state.layers[0]))
    torch.testing.assert_close(torch.cat(pieces, 2), want, rtol=0, atol=1e-10)
    packed = plain_layout(q.transpose(1, 2), causal=True, segments=torch.zeros(2, 12, dtype=torch.long))
    torch.testing.assert_close(attend(q, k, v, packed, Scoring(bias=bias)), want, rtol=0, atol=1e-10)


def test_cross_attention_stops_at_the_source_length() -> None:
    q, k, v = qkv(2, 5)[0], *(x.repeat_interleave(HEADS // GROUPS, dim=1) for x in qkv(2, 9, seed=1)[1:])
    got = cross_attend(q, k, v, torch.tensor([9, 3]))
    alone = cross_attend(q[1:], k[1:, :, :3], v[1:, :, :3], torch.tensor([3]))
    torch.testing.assert_close(got[1:], alone, rtol=0, atol=1e-10)


def test_too_small_a_cache_is_our_own_fault() -> None:
    q, k, v = qkv(1, 5)
    with pytest.raises(AssertionError, match="5 tokens in a cache of 4"):
        _feed(q, k, v, _empty(1, 4), None, None)


def test_layout_of_equal_rows_needs_no_mask() -> None:
    layout, _ = causal_layout(torch.zeros(2, 1, 4), lengths=None, segments=None, state=_empty(2, 8))
    assert isinstance(layout, Layout) and layout.mask is None and layout.start == 0


def test_how_long_the_text_of_each_token_is() -> None:
    x = torch.zeros(2, 12, 1)
    assert plain_layout(x, causal=True).reach.tolist() == [[12]]
    assert plain_layout(x, causal=True, lengths=torch.tensor([12, 5])).reach.tolist() == [[12], [5]]
    packed = plain_layout(x, causal=True, segments=SEGMENTS).reach
    assert packed[0, :10].tolist() == [3] * 6 + [4] * 4
    assert packed[1].tolist() == [1] + [7] * 7 + [3] * 3 + [1]
    state = State([KeyValueCache.empty(2, GROUPS, 20, WIDTH, like=x)], torch.tensor([4, 7]))
    assert causal_layout(x[:, :2], lengths=None, segments=None, state=state)[0].reach.tolist() == [[6], [9]]
    ragged = torch.tensor([[0, 0, 1]])
    assert causal_layout(x[:1, :3], lengths=None, segments=ragged, state=state)[0].reach.tolist() == [[6, 6, 8]]
