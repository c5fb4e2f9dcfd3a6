"""Transformer-XL's attention of a decoder against its equation, one query and key at a time."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention import related, transformer_xl
from trivium.nn.attention.layout import causal_layout, plain_layout
from trivium.nn.attention.transformer_xl import TransformerXLAttention
from trivium.nn.positions.sinusoidal import SinusoidalPositions
from trivium.nn.quantized import NF4Linear
from trivium.nn.state import State

WIDTH, HEADS, HEAD_WIDTH = 8, 2, 3


def layer(**options: int) -> TransformerXLAttention:
    torch.manual_seed(0)
    module = TransformerXLAttention(WIDTH, HEADS, HEAD_WIDTH, bias=True, output_bias=True, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def by_the_equation(module: TransformerXLAttention, x: Tensor, window: int | None = None) -> Tensor:
    """One row ``[T, D]``: section 3.3, terms (a) to (d)."""
    length, relation = x.shape[0], module.mixing.relation
    q, k, v = module.qkv(x).view(length, 3, HEADS, HEAD_WIDTH).unbind(1)
    sinusoid = SinusoidalPositions(WIDTH)(torch.arange(length)[None], torch.float64)[0]
    r = relation.position(sinusoid).view(length, HEADS, HEAD_WIDTH)
    out = torch.zeros(length, HEADS, HEAD_WIDTH, dtype=torch.float64)
    for h in range(HEADS):
        for i in range(length):
            first = 0 if window is None else max(0, i - window + 1)
            scores = [
                (q[i, h] + relation.content_bias[h]) @ k[j, h] + (q[i, h] + relation.position_bias[h]) @ r[i - j, h]
                for j in range(first, i + 1)
            ]
            out[i, h] = torch.softmax(torch.stack(scores) / HEAD_WIDTH**0.5, 0) @ v[first : i + 1, h]
    return module.output(out.flatten(1))


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("piece", [256, 4])
def test_the_equation(monkeypatch: pytest.MonkeyPatch, window: int | None, piece: int) -> None:
    monkeypatch.setattr(related, "_PIECE", piece)
    module = layer(**({} if window is None else {"window": window}))
    x = torch.randn(2, 11, WIDTH, dtype=torch.float64, requires_grad=True)
    got = module(x, plain_layout(x, causal=True))
    wanted = torch.stack([by_the_equation(module, row, window) for row in x])
    assert torch.allclose(got, wanted, atol=1e-10)
    parameters = [x, *module.parameters()]
    upstream = torch.randn_like(got)
    for ours, theirs in zip(
        torch.autograd.grad(got, parameters, upstream), torch.autograd.grad(wanted, parameters, upstream), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("lengths", [[4, 4], [4, 2]])  # rows in step, and rows that are not
def test_a_cache(lengths: list[int]) -> None:
    module, texts = layer(), torch.randn(2, 9, WIDTH, dtype=torch.float64)
    wanted = module(texts, plain_layout(texts, causal=True))
    state = State.of_caches(2, HEADS, 10, HEAD_WIDTH, layers=1, like=texts)
    layout, state = causal_layout(texts[:, :4], lengths=torch.tensor(lengths), segments=None, state=state)
    module(texts[:, :4], layout, state.layers[0])
    following = torch.stack([row[n : n + 3] for row, n in zip(texts, lengths, strict=True)])
    layout, state = causal_layout(following, lengths=None, segments=None, state=state)
    got = module(following, layout, state.layers[0])
    for row, n in enumerate(lengths):
        assert torch.allclose(got[row], wanted[row, n : n + 3], atol=1e-10)
    layout, state = causal_layout(following[:1], lengths=None, segments=torch.tensor([[0, 0, 1]]), state=state)
    packed = module(following[:1], layout, state.layers[0])
    whole = torch.cat([texts[:1, : lengths[0] + 3], following[:1, :2]], dim=1)
    assert torch.allclose(packed[0, :2], module(whole, plain_layout(whole, causal=True))[0, -2:], atol=1e-10)


def test_a_few_queries_are_brought_to_the_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """One token after many: the product is made from the other side, and is the same."""
    module, texts = layer(), torch.randn(1, 9, WIDTH, dtype=torch.float64)
    wanted = module(texts, plain_layout(texts, causal=True))
    state = State.of_caches(1, HEADS, 9, HEAD_WIDTH, layers=1, like=texts)
    layout, state = causal_layout(texts[:, :8], lengths=None, segments=None, state=state)
    module(texts[:, :8], layout, state.layers[0])
    monkeypatch.setattr(module.mixing.relation.position, "forward", None)  # all distances are not projected
    layout, state = causal_layout(texts[:, 8:], lengths=None, segments=None, state=state)
    assert torch.allclose(module(texts[:, 8:], layout, state.layers[0])[0, 0], wanted[0, 8], atol=1e-10)


def test_what_was_shared_while_generating_takes_part_in_training() -> None:
    transformer_xl._sinusoids.cache_clear()
    module, x = layer(), torch.randn(1, 9, WIDTH, dtype=torch.float64)
    with torch.inference_mode():
        module(x, plain_layout(x, causal=True))
    module(x, plain_layout(x, causal=True)).sum().backward()
    assert module.mixing.relation.position.weight.grad is not None


def test_probabilities_are_those_that_weigh() -> None:
    module, x, seen = layer(window=4), torch.randn(1, 6, WIDTH, dtype=torch.float64), []
    mixed = module(x, plain_layout(x, causal=True), None, seen)
    v = module.qkv(x).view(1, 6, 3, HEADS, HEAD_WIDTH)[:, :, 2].transpose(1, 2)
    assert torch.allclose(module.output((seen[0] @ v).transpose(1, 2).flatten(2)), mixed, atol=1e-10)
    assert torch.equal(seen[0] > 0, torch.ones(6, 6).tril().triu(-3).bool().expand(1, HEADS, 6, 6))


def test_a_projection_of_distances_that_is_packed() -> None:
    """It has no weight to be multiplied by, for many tokens or for one."""
    module, x = layer().float(), torch.randn(1, 9, WIDTH)
    relation = module.mixing.relation
    packed = NF4Linear(relation.position.weight)
    relation.position.weight.data = packed.weight_in(torch.float32)
    wanted = module(x, plain_layout(x, causal=True))
    relation.position = packed
    for length in (9, 1):
        part = x[:, :length]
        assert torch.allclose(module(part, plain_layout(part, causal=True)), wanted[:, :length], atol=1e-6)
