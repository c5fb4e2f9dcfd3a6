"""Sorted, grouped products are the sum over each token's chosen experts, written out."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.nn.experts import ClampedSwiGLU, Experts
from trivium.nn.linear import linear
from trivium.nn.routing import Choice, Routings, within_capacity

CHOICE = Choice(experts=5, chosen=2)
KINDS = {
    "mixtral": {},
    "gelu": {"activation": "gelu_tanh"},
    "biases": {"bias": True, "router_bias": True, "activation": ClampedSwiGLU(limit=0.4)},
    "shared": {"shared_width": 4},
    "capacity": {"capacity_factor": 0.7},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind: str = "mixtral", choice: Choice = CHOICE, **options) -> Experts:
    torch.manual_seed(1)
    experts = Experts(6, 7, choice, **{**KINDS[kind], **options}).double()
    for parameter in experts.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return experts


def texts(rows: int = 3, length: int = 4) -> Tensor:
    return torch.randn(rows, length, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def one(experts: Experts, e: int, x: Tensor) -> Tensor:
    """One token through one expert, from the published formulas."""
    inner = experts.gate_up.weight[e] @ x
    if experts.gate_up.bias is not None:
        inner = inner + experts.gate_up.bias[e]
    if isinstance(experts.activation, ClampedSwiGLU):
        gate, up = inner[::2], inner[1::2]
        limit = experts.activation.limit
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        inner = gate / (1 + torch.exp(-1.702 * gate)) * (up + 1)
    else:
        activation = F.silu if experts.activation == "silu" else lambda g: F.gelu(g, approximate="tanh")
        inner = activation(inner[:7]) * inner[7:]
    y = experts.down.weight[e] @ inner
    return y if experts.down.bias is None else y + experts.down.bias[e]


def dense(experts: Experts, x: Tensor, kept: Tensor | None = None) -> Tensor:
    """The weighted sum over chosen experts, token by token."""
    routing = experts.router(x.reshape(-1, 6))
    out = []
    for n, row in enumerate(x.reshape(-1, 6)):
        total = torch.zeros_like(row) if experts.shared is None else experts.shared(row)
        for j, e in enumerate(routing.chosen[n].tolist()):
            if kept is None or kept[n, j]:
                total = total + routing.weights[n, j] * one(experts, e, row)
        out.append(total)
    return torch.stack(out).view(x.shape)


@every_kind
def test_is_the_sum_over_chosen_experts_with_its_gradients(kind: str) -> None:
    experts, x = build(kind), texts().requires_grad_()
    routings = Routings.of(x, lengths=torch.tensor([4, 2, 3]))
    kept = experts._kept(experts.router(x.detach().reshape(-1, 6)), routings.real)
    assert (kept.sum() < 18) == (kind == "capacity")
    ours, expected = experts(x, routings), dense(experts, x, kept)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    direction, wanted = torch.randn_like(ours), [x, *experts.parameters()]
    for got, right in zip(
        torch.autograd.grad(ours, wanted, direction), torch.autograd.grad(expected, wanted, direction), strict=True
    ):
        torch.testing.assert_close(got, right, rtol=0, atol=1e-11)


@every_kind
def test_gradients_by_differences(kind: str) -> None:
    experts, x = build(kind), texts(1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: experts(x, Routings(None)), x)


@every_kind
def test_a_row_alone_is_the_row_in_the_batch(kind: str) -> None:
    """Also a token alone, which takes another way, and with capacity, which is for training."""
    experts, x = build(kind).eval(), texts()
    expected = experts(x)
    for row, column in itertools.product(range(3), range(4)):
        token = x[[row], column : column + 1]
        with torch.no_grad():
            torch.testing.assert_close(experts(token)[0, 0], expected[row, column], rtol=0, atol=1e-12)
    torch.testing.assert_close(experts(x[[1]])[0], expected[1], rtol=0, atol=1e-12)


def test_experts_that_nobody_chose() -> None:
    """Give nothing, and get a gradient of 0."""
    experts, x = build("biases"), texts(1, 2)
    with torch.no_grad():
        experts.router.logits.bias += torch.tensor([9.0, -9.0, -9.0, 9.0, -9.0])
    ours = experts(x)
    torch.testing.assert_close(ours, dense(experts, x), rtol=0, atol=1e-12)
    ours.sum().backward()
    for parameter in (experts.gate_up.weight, experts.gate_up.bias, experts.down.weight, experts.down.bias):
        assert parameter.grad[[1, 2, 4]].count_nonzero() == 0
        assert parameter.grad[[0, 3]].flatten(1).count_nonzero(1).min() > 0


def test_padding_goes_to_no_expert() -> None:
    experts, x = build(), texts()
    routings = Routings.of(x, lengths=torch.tensor([4, 0, 1]))
    y = experts(x, routings)
    assert torch.equal(y[1], torch.zeros_like(y[1]))
    assert len(routings.layers) == 1
    torch.testing.assert_close(y[0], experts(x[:1])[0], rtol=0, atol=1e-12)
    assert torch.equal(experts(x, Routings.of(x, lengths=torch.tensor([0, 0, 0]))), torch.zeros_like(x))


def test_capacity_is_for_training() -> None:
    experts, x = build("capacity"), texts()
    kept = within_capacity(experts.router(x.reshape(-1, 6)).chosen, 5, 0.7)
    torch.testing.assert_close(experts(x, Routings(None)), dense(experts, x, kept), rtol=0, atol=1e-12)
    torch.testing.assert_close(experts.eval()(x, Routings(None)), dense(experts, x), rtol=0, atol=1e-12)


def test_one_token_reads_its_experts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    experts, x, read = build().eval(), texts(1, 1), []

    def watched(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        read.append((weight.data_ptr(), weight.numel()))
        return linear(x, weight, bias)

    monkeypatch.setattr("trivium.nn.experts.linear", watched)
    with torch.no_grad():
        experts(x)
    chosen = experts.router(x[0]).chosen[0].tolist()
    expected = [(m.weight[e].data_ptr(), m.weight[e].numel()) for e in chosen for m in (experts.gate_up, experts.down)]
    assert read == expected


def test_half_precision_by_autocast() -> None:
    experts, x = build("biases").float(), texts().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = experts(x)
    y.float().sum().backward()
    torch.testing.assert_close(y.float(), experts(x), rtol=0, atol=0.05)
    assert experts.gate_up.weight.grad.dtype == torch.float32
