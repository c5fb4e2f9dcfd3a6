"""RMSNorm's written-out gradient is the true one, and its value PyTorch's."""

import torch

from trivium.nn.norms import RMSNorm


def test_value_and_gradient() -> None:
    torch.manual_seed(0)
    norm = RMSNorm(16, 1e-5).double()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(3, 5, 16, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.rms_norm(x, (16,), norm.weight, 1e-5)
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
