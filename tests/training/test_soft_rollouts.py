"""Soft samples: what is drawn, that one pass has the gradient of the published loop, and finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.relational_memory import RelationalMemory, RelationalMemoryConfig
from trivium.nn.gumbel import gumbel_noise
from trivium.training.soft_rollouts import noisy_sample, soft_argmax_sample, softened

V, LENGTH = 7, 5


def lstm() -> nn.Module:
    model = LSTM(LSTMConfig(vocabulary_size=V, width=6, layers=2, dropout=0.0)).double()
    nn.init.normal_(model.embedding.weight)
    return model


def gpt2() -> nn.Module:
    return GPT2(GPT2Config(vocabulary_size=V, width=8, layers=1, heads=2, context_tokens=16)).double()


def relational_memory() -> nn.Module:
    return RelationalMemory(RelationalMemoryConfig(vocabulary_size=V, width=8, slots=2, embedding_width=4)).double()


MODELS = [lstm, gpt2, relational_memory]


def seeded(function: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    return function()


def soft_sample(
    model: nn.Module, start: Tensor, length: int, beta: float, *, hard: bool = False
) -> tuple[Tensor, Tensor]:
    tokens, noise = noisy_sample(model, start, length)
    return tokens, softened(model, start, tokens, noise, beta, hard=hard)


def published_loop(model: nn.Module, start: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """RelGAN's recurrence: all in one graph, the token fed back cut off from it. It reads the whole beginning at every
    step, which needs no cache."""
    given, softs = start, []
    for _ in range(LENGTH):
        logits = model.head.logits(model(given).hidden[:, -1:])
        perturbed = logits + gumbel_noise(logits.detach())
        softs.append(torch.softmax(beta * perturbed, -1))
        given = torch.cat([given, perturbed.detach().argmax(-1)], dim=1)
    return given[:, 1:], torch.cat(softs, dim=1)


@pytest.mark.parametrize("build", MODELS)
def test_values_and_gradients_are_those_of_the_published_loop(build: Callable[[], nn.Module]):
    model, start = build(), torch.tensor([[0], [1], [2], [2]])
    direction = torch.randn(4, LENGTH, V, dtype=torch.float64)
    tokens, soft = seeded(lambda: soft_sample(model, start, LENGTH, 1.5))
    wanted, expected = seeded(lambda: published_loop(model, start, 1.5))
    assert torch.equal(tokens, wanted) and torch.equal(soft.argmax(-1), tokens)
    torch.testing.assert_close(soft, expected, atol=1e-12, rtol=0)
    parameters = list(model.parameters())
    got = torch.autograd.grad((soft * direction).sum(), parameters)
    right = torch.autograd.grad((expected * direction).sum(), parameters)
    for mine, theirs in zip(got, right, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("build", MODELS)
def test_gradient_equals_finite_differences_at_every_parameter(build: Callable[[], nn.Module]):
    model, start = build(), torch.tensor([[0], [3], [1]])
    direction = torch.randn(3, 3, V, dtype=torch.float64)

    def value() -> tuple[Tensor, Tensor]:
        tokens, soft = soft_sample(model, start, 3, 2.0)
        return tokens, (soft * direction).sum()

    tokens, total = seeded(value)
    total.backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 1e-6, name
        towards = torch.randn_like(parameter)
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(towards, alpha=sign * step)
                moved, there = seeded(value)
                parameter.add_(towards, alpha=-sign * step)
            assert torch.equal(moved, tokens)  # what is fed back is a step function, flat here
            sides.append(float(there))
        expected = (sides[0] - sides[1]) / (2 * step)
        assert float((parameter.grad * towards).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-7), name


def test_gradient_goes_back_through_the_state_to_the_first_token():
    """And not through the tokens in between: the first token's vector moves the last soft token through h and c."""
    model = lstm()
    with torch.no_grad():
        model.head.bias[V - 1] = -50.0  # never drawn
    _, soft = seeded(lambda: soft_sample(model, torch.tensor([[V - 1]]), LENGTH, 1.0))
    (gradient,) = torch.autograd.grad(soft[0, -1, 0], model.embedding.weight)
    assert float(gradient[V - 1].abs().max()) > 1e-6


def test_tokens_are_drawn_from_the_models_own_distribution():
    """All texts of two tokens, 40,000 times."""
    model = lstm().float()
    nn.init.normal_(model.head.weight)
    with torch.no_grad():
        tokens, _ = soft_sample(model, torch.zeros(40_000, 1, dtype=torch.long), 2, 1.0)
        given = torch.tensor([[0, v] for v in range(V)])
        chances = torch.softmax(model.head.logits(model(given).hidden), -1)  # [V, 2, V]
    expected = chances[0, 0][:, None] * chances[:, 1]
    shares = torch.bincount(V * tokens[:, 0] + tokens[:, 1], minlength=V * V) / 40_000
    torch.testing.assert_close(shares, expected.flatten(), atol=0.01, rtol=0)


def test_hard_ones_are_the_tokens_and_have_the_soft_gradient():
    model, start = lstm(), torch.tensor([[0], [4]])
    direction = torch.randn(2, LENGTH, V, dtype=torch.float64)
    _, soft = seeded(lambda: soft_sample(model, start, LENGTH, 3.0))
    tokens, hard = seeded(lambda: soft_sample(model, start, LENGTH, 3.0, hard=True))
    assert torch.equal(hard, nn.functional.one_hot(tokens, V).double())
    parameters = list(model.parameters())
    through = torch.autograd.grad((hard * direction).sum(), parameters)
    plain = torch.autograd.grad((soft * direction).sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(through, plain, strict=True))


def test_beta_sharpens_and_moves_no_token():
    model, start = lstm(), torch.zeros(6, 1, dtype=torch.long)
    runs = [seeded(lambda beta=beta: soft_sample(model, start, LENGTH, beta)) for beta in (0.5, 1.0, 1000.0)]
    assert torch.equal(runs[0][0], runs[2][0])
    largest = [float(soft.detach().max(-1).values.mean()) for _, soft in runs]
    assert largest[0] < largest[1] < largest[2] and largest[2] > 0.98


def soft_argmax_loop(model: nn.Module, first: Tensor, sharpness: float) -> Tensor:
    """TextGAN's recurrence, by reading the whole beginning at every step."""
    given, softs = first, []
    for _ in range(LENGTH):
        softs.append(torch.softmax(sharpness * model.head(model(embeddings=given).hidden)[:, -1:], -1))
        given = torch.cat([given, softs[-1] @ model.embed(torch.arange(V)[None])[0]], dim=1)
    return torch.cat(softs, dim=1)


@pytest.mark.parametrize("build", MODELS)
def test_soft_argmax_feeds_back_what_it_gives(build: Callable[[], nn.Module]):
    model = build()
    first = torch.randn(3, 1, model.embed(torch.zeros(1, 1, dtype=torch.long)).shape[-1], dtype=torch.float64)
    first.requires_grad_()
    tokens, soft = soft_argmax_sample(model, first, LENGTH, 2.0)
    expected = soft_argmax_loop(model, first, 2.0)
    torch.testing.assert_close(soft, expected, atol=1e-12, rtol=0)
    assert torch.equal(tokens, soft.argmax(-1))
    direction, leaves = torch.randn(3, LENGTH, V, dtype=torch.float64), [first, *model.parameters()]
    got = torch.autograd.grad((soft * direction).sum(), leaves)
    right = torch.autograd.grad((expected * direction).sum(), leaves)
    for mine, theirs in zip(got, right, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-9)
        assert float(mine.abs().max()) > 0


@pytest.mark.parametrize("build", MODELS)
def test_soft_argmax_gradient_by_finite_differences(build: Callable[[], nn.Module]):
    model = build().requires_grad_(False)
    width = model.embed(torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    first = torch.randn(1, 1, width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_argmax_sample(model, x, 2, 2.0)[1], [first])


def test_sharp_soft_argmax_is_greedy_decoding():
    model, start = lstm(), torch.tensor([[0], [1], [2]])
    tokens, _ = soft_argmax_sample(model, model.embed(start), LENGTH, 1e6)
    given = start
    for _ in range(LENGTH):
        given = torch.cat([given, model.head(model(given).hidden[:, -1:]).argmax(-1)], dim=1)
    assert torch.equal(tokens, given[:, 1:])
