"""RMSNorm's written-out gradient is the true one, and its value PyTorch's."""

import pytest
import torch

from trivium.nn.norms import RMSNorm


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_value_and_gradient(offset: float) -> None:
    torch.manual_seed(0)
    norm = RMSNorm(16, 1e-5, offset=offset).double()
    assert torch.equal(norm.weight + offset, torch.ones(16, dtype=torch.float64))
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(3, 5, 16, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.rms_norm(x, (16,), norm.weight + offset, 1e-5)
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, w: type(norm).__call__(norm, x), (x, norm.weight))
    upstream = torch.randn_like(x)
    got = torch.autograd.grad(norm(x), [x, norm.weight], upstream)
    want = torch.autograd.grad(expected, [x, norm.weight], upstream)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_half_precision_keeps_its_statistics_in_fp32() -> None:
    norm = RMSNorm(4096)
    x = torch.full((1, 4096), 300.0)  # squares overflow fp16 and lose their digits in bf16
    out = norm.bfloat16()(x.bfloat16())
    torch.testing.assert_close(out.float(), torch.ones(1, 4096), rtol=1e-2, atol=0)


def test_a_gain_around_one_is_rounded_once() -> None:
    """1 + g in bf16 would be one of 128 numbers between 1 and 2, and the result rounded three times."""
    norm = RMSNorm(256, offset=1.0).bfloat16()
    torch.nn.init.normal_(norm.weight, std=0.1)
    x = torch.randn(64, 256).bfloat16()
    wide = x.double()
    exact = wide * (wide.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * (1 + norm.weight.double())
    out = norm(x)
    assert (out != exact.bfloat16()).float().mean() < 1e-3  # fp32 may fall on the other side of a tie
    with torch.no_grad():
        assert torch.equal(norm(x), out)
    out.sum().backward()
    assert norm.weight.grad is not None and norm.weight.grad.dtype == torch.bfloat16
