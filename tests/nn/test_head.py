"""The chunked head equals the plain computation, values and gradients, for every option."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trivium.nn.head
from trivium.nn.head import OutputHead

OPTIONS = [{}, {"bias": True}, {"scale": 0.3}, {"soft_cap": 2.0}, {"bias": True, "scale": 1.7, "soft_cap": 1.5}]


def build(options: dict, rows: int = 23) -> tuple[OutputHead, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = OutputHead(8, 31, **options).double()
    nn.init.normal_(head.weight)
    hidden = torch.randn(rows, 8, dtype=torch.float64, requires_grad=True)
    return head, hidden, torch.randint(31, (rows,))


def gradients(value: torch.Tensor, head: OutputHead, hidden: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(value, [hidden, *head.parameters()]))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_nll_sum_equals_cross_entropy(options: dict, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivium.nn.head, "CHUNK_ROWS", 7)  # several chunks and a partial one
    head, hidden, targets = build(options)
    weights = torch.rand(23, dtype=torch.float64) if weighted else None
    each = F.cross_entropy(head.logits(hidden), targets, reduction="none")
    expected = (each if weights is None else each * weights).sum()
    value = head.nll_sum(hidden, targets, weights)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    for got, want in zip(gradients(3 * value, head, hidden), gradients(3 * expected, head, hidden), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_smoothed_sum_equals_smoothed_cross_entropy(
    options: dict, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivium.nn.head, "CHUNK_ROWS", 7)
    head, hidden, targets = build(options, rows=24)
    expected = F.cross_entropy(head.logits(hidden), targets, reduction="sum", label_smoothing=smoothing)
    value, plain = head.smoothed_nll_sum(hidden.view(4, 6, 8), targets.view(4, 6), smoothing)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(plain, head.nll_sum(hidden, targets).detach(), rtol=1e-12, atol=0)
    assert not plain.requires_grad
    for got, want in zip(gradients(3 * value, head, hidden), gradients(3 * expected, head, hidden), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_smoothing_with_weights_and_without_logits_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivium.nn.head, "CHUNK_ROWS", 7)
    held = []
    logits_of = trivium.nn.head._logits
    monkeypatch.setattr(
        trivium.nn.head, "_logits", lambda hidden, *rest: held.append(hidden.shape[0]) or logits_of(hidden, *rest)
    )
    head, hidden, targets = build({"bias": True})
    weights = torch.rand(23, dtype=torch.float64)
    both = head(hidden, targets, weights, reduce=True, smoothing=0.2)
    assert held == [7, 7, 7, 2]
    logits = head.logits(hidden)
    each = F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(both[0], (each * weights).sum(), rtol=1e-12, atol=0)
    plain = F.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(both[1], (plain * weights).sum(), rtol=1e-12, atol=0)
    for got, want in zip(
        gradients(both[0], head, hidden), gradients((each * weights).sum(), head, hidden), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_log_normaliser_equals_logsumexp(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivium.nn.head, "CHUNK_ROWS", 7)
    head, hidden, _ = build(options)
    weights, shaped = torch.rand(1, 23, dtype=torch.float64), hidden[None]
    value, expected = head.log_normaliser(shaped), head.logits(shaped).logsumexp(-1)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    losses = ((value * weights).sum(), (expected * weights).sum())
    for got, want in zip(*(gradients(loss, head, hidden) for loss in losses), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_a_sum_is_over_targets() -> None:
    head, hidden, targets = build({})
    for given in ({"reduce": True}, {"targets": targets, "normaliser": True}):
        with pytest.raises(AssertionError, match="a sum is over targets"):
            head(hidden, **given)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("frozen", [False, True])
def test_log_prob_equals_log_softmax(
    options: dict, temperature: float, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen head takes another way to the same gradient."""
    monkeypatch.setattr(trivium.nn.head, "CHUNK_ROWS", 7)
    head, hidden, targets = build(options, rows=24)
    head.requires_grad_(not frozen)
    upstream = torch.randn(4, 6, dtype=torch.float64)
    shaped, chosen = hidden.view(4, 6, 8), targets.view(4, 6)
    expected = F.log_softmax(head.logits(shaped) / temperature, -1).gather(-1, chosen[..., None])[..., 0]
    value = head.log_prob(shaped, chosen, temperature=temperature)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    of = [hidden] if frozen else [hidden, *head.parameters()]
    got = torch.autograd.grad((value * upstream).sum(), of)
    for a, b in zip(got, torch.autograd.grad((expected * upstream).sum(), of), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_tied_head_shares_the_embedding_and_its_gradient() -> None:
    embedding = nn.Embedding(31, 8)
    head = OutputHead(8, 31, tied_to=embedding)
    tokens = torch.arange(5)
    head.nll_sum(embedding(tokens), tokens).backward()
    assert head.weight is embedding.weight
    assert (embedding.weight.grad.abs().sum(1) > 0).all()  # every row is an output, not only the five inputs


def test_frozen_weight_gets_no_gradient() -> None:
    head, hidden, targets = build({})
    head.weight.requires_grad_(False)
    head.nll_sum(hidden, targets).backward()
    assert head.weight.grad is None and hidden.grad is not None


@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_keeps_the_loss_in_fp32(autocast: bool) -> None:
    """A bf16 log-probability near 10 is exact to 0.06 only; the loss of a bf16 model is not rounded to that."""
    torch.manual_seed(0)
    head = OutputHead(64, 500)
    nn.init.normal_(head.weight)
    hidden, targets = torch.randn(40, 64), torch.randint(500, (40,))
    if not autocast:
        head, hidden = head.bfloat16(), hidden.bfloat16()
    hidden.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total, each = head.nll_sum(hidden, targets), head.log_prob(hidden, targets)
        logits = head.logits(hidden).float()
    exact = F.cross_entropy(logits.double(), targets, reduction="none")
    torch.testing.assert_close(-each.double(), exact, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(total.double(), exact.sum(), rtol=1e-6, atol=0)
    (total - each.sum()).backward()
    assert torch.isfinite(hidden.grad.float()).all() and torch.isfinite(head.weight.grad.float()).all()
