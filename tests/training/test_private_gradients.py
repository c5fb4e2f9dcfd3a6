"""DP-SGD by hand: clipping of single examples, noise, the expected size; and what the sampler takes."""

import math

import pytest
import torch
from torch import nn

from tests.training.toys import tiny_gpt2
from trivium.data.examples import Example
from trivium.data.poisson import PoissonExamples
from trivium.errors import ConfigError
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.training.privacy_accountant import epsilon
from trivium.training.private_gradients import Privacy, PrivacyConfig, PrivateGradient

CPU = torch.device("cpu")


def privacy(*, noise: float = 1e-9, clip_norm: float = 1.0, expected: int = 4) -> Privacy:
    return Privacy.of(PrivacyConfig(noise=noise, clip_norm=clip_norm), examples=100, expected=expected, steps=10)


def loss_of(weight: nn.Parameter, gradient: list[float], count: float = 1.0) -> Loss:
    return Loss(total=count * (weight * torch.tensor(gradient)).sum(), count=torch.tensor(count))


def test_examples_are_clipped_one_by_one_and_divided_by_the_expected_number() -> None:
    """(3, 4) has norm 5 and becomes (0.6, 0.8); (0.3, 0) is shorter than 1 and stays; the sum is divided by 4."""
    weight = nn.Parameter(torch.zeros(2))
    make = PrivateGradient(privacy(), device=CPU, seed=0)
    losses = [loss_of(weight, [3.0, 4.0]), loss_of(weight, [0.3, 0.0], count=7.0), loss_of(weight, [0.0, 0.0])]
    found = make(losses, [weight])
    torch.testing.assert_close(weight.grad, torch.tensor([0.9, 0.8]) / 4, rtol=0, atol=1e-6)
    assert found.count == 9.0 and found.norm == pytest.approx(math.hypot(0.9, 0.8) / 4, rel=1e-5)


def test_the_norm_is_that_of_all_parameters_together() -> None:
    weights = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    total = 3 * weights[0].sum() + 4 * weights[1].sum()
    PrivateGradient(privacy(expected=1), device=CPU, seed=0)([Loss(total=total, count=torch.tensor(1.0))], weights)
    grads = [float(weight.grad) for weight in weights]
    assert grads == pytest.approx([0.6, 0.8, 0.0], abs=1e-6)


def test_noise_has_its_size_and_is_there_without_any_example() -> None:
    weight = nn.Parameter(torch.zeros(20_000))
    make = PrivateGradient(privacy(noise=3.0, clip_norm=0.5, expected=10), device=CPU)
    make([], [weight])
    first = weight.grad.clone()
    assert float(first.std()) == pytest.approx(3.0 * 0.5 / 10, rel=0.03)
    make([], [weight])
    assert not torch.equal(first, weight.grad)


def test_what_is_not_finite_counts_as_nothing() -> None:
    weight = nn.Parameter(torch.zeros(2))
    losses = [loss_of(weight, [float("nan"), 1.0]), loss_of(weight, [0.4, 0.0])]
    PrivateGradient(privacy(), device=CPU, seed=0)(losses, [weight])
    torch.testing.assert_close(weight.grad, torch.tensor([0.1, 0.0]), rtol=0, atol=1e-6)


def test_noise_goes_on_where_it_was_and_cannot_be_guessed() -> None:
    weight = nn.Parameter(torch.zeros(5))
    one, other, third = (PrivateGradient(privacy(noise=1.0), device=CPU) for _ in range(3))
    one([], [weight])
    other.load_state_tensors(one.state_tensors())
    drawn = []
    for make in (one, other, third):
        make([], [weight])
        drawn.append(weight.grad.clone())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_one_example_changes_the_sum_by_the_clipping_norm_at_most() -> None:
    """What the guarantee rests on, through a real model: sums with and without an example differ by C or less."""
    model = tiny_gpt2()
    parameters = list(model.parameters())
    source = PoissonExamples(examples(6), vocabulary_size=32, context_tokens=12, rows=6, seed=0)
    batch = next(source)
    sums = []
    for rows in (6, 5):
        make = PrivateGradient(privacy(clip_norm=0.01, expected=1), device=CPU, seed=0)
        make([causal(model, row) for row in batch.part(0, rows).split(rows)], parameters)
        sums.append([parameter.grad.clone() for parameter in parameters])
    changed = torch.cat([(a - b).flatten() for a, b in zip(*sums, strict=True)]).norm()
    assert 0.0099 < float(changed) <= 0.01 * (1 + 1e-4)


def test_what_is_spent_and_the_noise_for_it() -> None:
    found = Privacy.of(PrivacyConfig(epsilon=3.0), examples=2000, expected=50, steps=400)
    assert (found.delta, found.sample_rate, found.expected) == (1 / 20_000, 0.025, 50)
    assert found.spent(400) == pytest.approx(3.0, abs=1e-3)
    assert 0 < found.spent(1) < found.spent(200) < 3.0
    assert found.spent(400) == epsilon(sample_rate=0.025, noise=found.noise, steps=400, delta=1 / 20_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 1.0, "noise": 1.0}, "the noise follows from epsilon"),
        ({"epsilon": -1.0}, "epsilon must be a finite number above 0"),
        ({"noise": 1.0, "clip_norm": 0.0}, "clip_norm must be"),
        ({"noise": 1.0, "delta": 1.0}, "delta is a probability"),
    ],
)
def test_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PrivacyConfig(**settings)


def test_more_examples_than_there_are() -> None:
    with pytest.raises(ConfigError, match="more examples than there are"):
        Privacy.of(PrivacyConfig(noise=1.0), examples=3, expected=4, steps=1)


def examples(count: int) -> list[Example]:
    return [Example.of([1, 2 + n % 20], [3 + n % 20] * (n % 5 + 1), end_id=0) for n in range(count)]
