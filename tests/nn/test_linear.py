"""Whichever library computes it, a linear layer is the same function with the same gradients."""

import pytest
import torch
import torch.nn.functional as F

import trivium.nn.linear
from trivium.nn.linear import Linear, batched_matmul_nt, linear, matmul_nt


@pytest.fixture(params=[True, False])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(trivium.nn.linear, "prefers_onednn", lambda: request.param)
    return request.param


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (2, 5, 24), (0, 24)])
def test_values_and_gradients(onednn: bool, bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = Linear(24, 40, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    upstream = torch.randn(*shape[:-1], 40)
    expected = F.linear(x, layer.weight, layer.bias)
    got = layer(x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    inputs = [x, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad(got, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 41])
def test_a_single_row_through_a_matrix_that_cannot_be_sliced(onednn: bool, outputs: int) -> None:
    layer = Linear(24, outputs)
    x = torch.randn(1, 1, 24)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-5)


def test_stacks_of_matrices(onednn: bool) -> None:
    a, b = torch.randn(3, 9, 33), torch.randn(3, 7, 33)
    torch.testing.assert_close(batched_matmul_nt(a, b), a @ b.mT, rtol=1e-5, atol=1e-5)


def test_transposed_views(onednn: bool) -> None:
    a, b = torch.randn(9, 33), torch.randn(9, 17)
    torch.testing.assert_close(matmul_nt(a.t(), b.t()), a.t() @ b, rtol=1e-5, atol=1e-5)


def test_other_dtypes_take_the_plain_way(onednn: bool) -> None:
    x, w = torch.randn(4, 8, dtype=torch.float64), torch.randn(6, 8, dtype=torch.float64)
    assert torch.equal(linear(x, w), F.linear(x, w))


@pytest.mark.parametrize("rows", [2, 3, 6, 7])
@pytest.mark.parametrize("outputs", [8, 9])
def test_a_few_rows_of_a_small_matrix(onednn: bool, rows: int, outputs: int) -> None:
    """The verification of a few guesses: halves of the matrix where it has halves."""
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, rows, 16), torch.randn(outputs, 16), torch.randn(outputs)
    with torch.inference_mode():
        for given in (None, bias):
            assert torch.allclose(linear(x, weight, given), torch.nn.functional.linear(x, weight, given), atol=1e-5)
