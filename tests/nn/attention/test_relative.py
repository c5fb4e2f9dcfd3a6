"""Relative attention against its equation, written out for every pair of positions."""

import torch
from torch import Tensor

from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.relative import RelativeAttention, SegmentMemory, Sight, relative_shift
from trivium.nn.positions.sinusoidal import SinusoidalPositions

B, T, M, D, H = 2, 5, 3, 12, 3


def built() -> RelativeAttention:
    attention = RelativeAttention(D, H, 0.0).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


def sinusoids(span: int, content: int) -> Tensor:
    return SinusoidalPositions(D)(torch.arange(span - 1, -content, -1)[None], torch.float64)[0]


def by_the_equation(
    attention: RelativeAttention, x: Tensor, read: Tensor, places: Tensor, apart: Tensor | None, seen: Tensor
) -> Tensor:
    """``places`` [B, Q] are the queries' among the keys."""
    width = D // H
    q, (k, v) = attention.query(x), attention.key_value(read).chunk(2, dim=-1)
    q, k, v = (y.unflatten(-1, (H, width)) for y in (q, k, v))
    out = torch.zeros_like(q)
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            scores = torch.full((H, read.shape[1]), float("-inf"), dtype=torch.float64)
            for j in seen[b, i].nonzero()[:, 0].tolist():
                distance = torch.tensor([[int(places[b, i]) - j]])
                r = attention.position(SinusoidalPositions(D)(distance, torch.float64)[0, 0]).view(H, width)
                score = ((q[b, i] + attention.content_bias) * k[b, j]).sum(-1)
                score = score + ((q[b, i] + attention.position_bias) * r).sum(-1)
                if apart is not None:
                    told = attention.segments[int(apart[b, i, j])]
                    score = score + ((q[b, i] + attention.segment_bias) * told).sum(-1)
                scores[:, j] = score / width**0.5
            out[b, i] = torch.einsum("hj,jhk->hk", scores.softmax(-1), v[b])
    return attention.output(out.flatten(2))


def test_shift() -> None:
    scores = torch.randn(2, 3, T, T + M + T - 1)
    shifted = relative_shift(scores, T + M)
    for t in range(T):
        assert torch.equal(shifted[:, :, t], scores[:, :, t, T - 1 - t : T - 1 - t + T + M])
    assert shifted.data_ptr() != scores.data_ptr()
    assert shifted.untyped_storage().data_ptr() == scores.untyped_storage().data_ptr()  # a view


def test_with_a_memory_and_segments() -> None:
    attention, x, memory = built(), torch.randn(B, T, D).double(), torch.randn(B, M, D).double()
    read = torch.cat([memory, x], dim=1)
    types = torch.randint(3, (B, M + T))
    one_hot = torch.nn.functional.one_hot(types, 3).double()
    sight = Sight(distances=sinusoids(M + T, T), content=T, types=(one_hot[:, M:], one_hot))
    places = torch.arange(M, M + T).expand(B, T)
    apart = types[:, M:, None] != types[:, None]
    seen = torch.ones(B, T, M + T, dtype=torch.bool)
    torch.testing.assert_close(attention(x, read, sight), by_the_equation(attention, x, read, places, apart, seen))


def test_predictions_stand_where_they_stand() -> None:
    attention, content, queries = built(), torch.randn(B, T, D).double(), torch.randn(B, 2, D).double()
    predicted = torch.tensor([[4, 0], [1, 2]])
    seen = torch.rand(B, T + 2, T) < 0.5
    seen[:, :, 3] = True
    mask = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, float("-inf"))
    at = (T - 1 - predicted)[..., None] + torch.arange(T)
    sight = Sight(distances=sinusoids(T, T), content=T, places=at, mask=mask)
    x, places = torch.cat([content, queries], dim=1), torch.cat([torch.arange(T).expand(B, T), predicted], dim=1)
    wanted = by_the_equation(attention, x, content, places, None, seen)
    torch.testing.assert_close(attention(x, content, sight), wanted)
    torch.testing.assert_close(attention(queries, content, sight.of_predictions()), wanted[:, T:])


def test_packed_documents() -> None:
    attention, x = built(), torch.randn(1, 9, D).double()
    segments = torch.tensor([[0, 0, 1, 1, 1, 1, 2, 2, 3]])
    layout = plain_layout(x, causal=False, segments=segments)
    mixed = attention(x, x, Sight(distances=sinusoids(4, 4), content=4, slices=layout.slices))
    seen = segments[:, :, None] == segments[:, None]
    torch.testing.assert_close(mixed, by_the_equation(attention, x, x, torch.arange(9)[None], None, seen))


def test_what_sees_nothing_gathers_nothing() -> None:
    attention, x = built(), torch.randn(1, 2, D).double().requires_grad_()
    blind = torch.tensor([[True, False]])
    mask = torch.tensor([[[0.0, 0.0], [0.0, float("-inf")]]], dtype=torch.float64)
    mixed = attention(x, x, Sight(distances=sinusoids(2, 2), content=2, mask=mask, blind=blind))
    assert not mixed[:, 0].any()
    assert mixed[:, 1].any()
    mixed[:, 0].sum().backward()
    assert not x.grad.any()


def test_memory_of_unequal_rows() -> None:
    """The newest token is in the last slot of every row, however many a row got."""
    memory = SegmentMemory.empty(2, 4, 1, like=torch.zeros(1))
    memory = memory.add(torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [9.0], [9.0]]]), torch.tensor([3, 1]))
    assert memory.hidden[..., 0].tolist() == [[0, 1, 2, 3], [0, 0, 0, 4]]
    memory = memory.add(torch.tensor([[[5.0], [6.0]], [[7.0], [8.0]]]), None)
    assert memory.hidden[..., 0].tolist() == [[2, 3, 5, 6], [0, 4, 7, 8]]
    assert memory.last(2).flatten().tolist() == [5, 6, 7, 8]
    room = memory.reserve(3, 6)
    assert room.hidden[..., 0].tolist() == [[0, 0, 2, 3, 5, 6], [0, 0, 0, 4, 7, 8], [0] * 6]
    assert room.put(torch.tensor([2]), memory.take(torch.tensor([1])), 4).last(4)[2].flatten().tolist() == [0, 4, 7, 8]
    joined = memory.join(memory.first(1))
    assert joined.hidden.shape == (3, 4, 1)
    assert torch.equal(joined.hidden[2], memory.hidden[0])
