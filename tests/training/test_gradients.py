"""The gradient of a window is that of the whole batch, whatever it was cut into."""

import pytest
import torch

from tests.training.toys import batch, tiny_gpt2
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.training.gradients import backward, global_norm


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
@pytest.mark.parametrize("rows", [8, 5])
def test_accumulation_is_exact(parts: int, rows: int) -> None:
    """Unequal counts and a partial window (5 rows in 4 parts), in float64 to 1e-10."""
    model = tiny_gpt2().double()
    whole = batch(0, rows)
    counts = [part.num_tokens for part in whole.split(parts)]
    assert parts == 1 or len(set(counts)) > 1
    output = model(whole.tokens, lengths=whole.lengths)
    log_probs = torch.log_softmax(model.head.logits(output.hidden), -1)
    mean = -log_probs.gather(-1, whole.targets[..., None])[..., 0][whole.mask].mean()
    expected = torch.autograd.grad(mean, list(model.parameters()))

    parameters = list(model.parameters())
    result = backward((causal(model, part) for part in whole.split(parts)), parameters, None)
    assert result.finite
    assert result.count == whole.num_tokens
    assert abs(result.loss - mean.item()) < 1e-10
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert (parameter.grad - gradient).abs().max() < 1e-10
    norm = torch.cat([gradient.flatten() for gradient in expected]).norm().item()
    assert abs(result.norm - norm) < 1e-10


def test_clipping_scales_to_the_norm() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    loss = Loss(total=(weight * torch.tensor([30.0, 40.0])).sum(), count=torch.tensor(10.0))
    result = backward([loss], [weight], 1.0)
    assert result.norm == pytest.approx(5.0)
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8], dtype=torch.float64), rtol=1e-6, atol=0)
    weight.grad = None
    backward([Loss(total=(weight * 0.5).sum(), count=torch.tensor(1.0))], [weight], 1.0)
    assert torch.equal(weight.grad, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_auxiliary_losses_count_in_the_gradient_and_are_reported_apart() -> None:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    losses = [
        Loss(weight * 3, torch.tensor(2.0), auxiliary={"balance": weight * 5}, metrics={"right": torch.tensor(1.0)}),
        Loss(weight * 1, torch.tensor(2.0), auxiliary={"balance": weight * 1}, metrics={"right": torch.tensor(2.0)}),
    ]
    result = backward(losses, [weight], None)
    assert weight.grad.item() == pytest.approx(10 / 4)
    assert result.loss == pytest.approx(8 / 4)
    assert result.metrics == {"auxiliary/balance": pytest.approx(3.0), "right": pytest.approx(0.75)}


@pytest.mark.parametrize("where", ["loss", "gradient", "auxiliary", "count"])
def test_what_is_not_finite_is_noticed(where: str) -> None:
    weights = torch.nn.Parameter(torch.ones(3))
    total = weights.sum() * (float("nan") if where == "loss" else 1.0)
    if where == "gradient":  # sqrt has an infinite slope at 0
        total = total + (weights[0] - 1).sqrt()
    auxiliary = {"a": weights.sum() * float("inf")} if where == "auxiliary" else {}
    count = torch.tensor(0.0 if where == "count" else 3.0)
    assert not backward([Loss(total, count, auxiliary=auxiliary)], [weights], 1.0).finite


def test_global_norm() -> None:
    assert global_norm([]) == 0.0
    assert global_norm([torch.full((2, 2), 1.0), torch.full((5,), 2.0)]) == pytest.approx(24**0.5)
