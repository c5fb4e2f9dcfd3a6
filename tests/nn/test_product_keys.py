"""Product keys against all n^2 keys."""

import pytest
import torch

from trivium.nn.product_keys import ProductKeyMemory

D, N, HEADS, CHOSEN = 6, 5, 2, 3


def built(**options: str | bool) -> ProductKeyMemory:
    torch.manual_seed(0)
    return ProductKeyMemory(D, N, CHOSEN, heads=HEADS, key_width=8, **options).double()


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_every_key_by_itself(norm: str) -> None:
    memory = built(norm=norm)
    x = torch.randn(2, 7, D, dtype=torch.float64, requires_grad=True)
    got = memory(x)
    queries = memory.query(x.flatten(0, 1))
    queries = memory.norm(queries) if norm == "batch" else memory.norm(queries.unflatten(-1, (HEADS, -1))).flatten(1)
    wanted = torch.zeros(14, D, dtype=torch.float64)
    for h in range(HEADS):
        left, right = memory.keys[h]
        keys = torch.cat([left.repeat_interleave(N, 0), right.repeat(N, 1)], dim=1)  # slot a * n + b
        scores, slots = (queries.unflatten(-1, (HEADS, -1))[:, h] @ keys.T).topk(CHOSEN)
        wanted = wanted + (torch.softmax(scores, -1)[..., None] * memory.values[slots]).sum(1)
    assert torch.allclose(got.flatten(0, 1), wanted, rtol=0, atol=1e-10)
    leaves, upstream = [x, *memory.parameters()], torch.randn_like(got)
    for ours, theirs in zip(
        torch.autograd.grad(got, leaves, upstream, retain_graph=True),
        torch.autograd.grad(wanted.view(got.shape), leaves, upstream),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def test_sparse_gradient() -> None:
    memory, dense = built(sparse=True), built()
    x = torch.randn(3, D, dtype=torch.float64)
    for each in (memory, dense):
        each(x).sum().backward()
    assert memory.values.grad is not None and memory.values.grad.is_sparse
    assert torch.allclose(memory.values.grad.to_dense(), dense.values.grad, rtol=0, atol=1e-12)
    read = memory.choose(x)[1].unique()
    assert torch.equal(memory.values.grad.coalesce().indices()[0], read)
    torch.optim.SparseAdam([memory.values]).step()


def test_the_best_come_first() -> None:
    scores, slots = built().eval().choose(torch.randn(4, D, dtype=torch.float64))
    assert scores.shape == slots.shape == (4, HEADS, CHOSEN)
    assert bool((scores.diff(dim=-1) <= 0).all())
    assert all(len(set(row)) == CHOSEN for row in slots.flatten(0, 1).tolist())


def test_half_precision_by_autocast() -> None:
    memory, x = built().float(), torch.randn(2, 7, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = memory(x)
    got.sum().backward()
    assert got.dtype == torch.float32 and memory.values.grad is not None
    assert memory.values.grad.sum().item() == pytest.approx(2 * 7 * HEADS * D, rel=0.01)  # the weights add up to 1
