"""NF4: the published code and packing, gradients by recomputation, loading without a full copy."""

import hashlib
import itertools
import weakref

import pytest
import torch
from torch import Tensor

from trivium.models.llama import Llama, LlamaConfig, weight_map
from trivium.nn.nf4 import NF4_CODES, PackedNF4, dynamic_codes, nearest_codes
from trivium.nn.quantized import NF4Linear, QuantisingAssign, quantise_linears
from trivium.nn.weight_map import export, load_into

CONFIG = LlamaConfig(vocabulary_size=31, width=16, layers=2, heads=2, inner_width=24, tied=True, attention_bias=True)


def test_codes_are_the_quantiles_of_a_normal():
    """Appendix E: the mean of two neighbouring quantiles, 8 negative and 9 positive, scaled by the largest."""
    normal = torch.distributions.Normal(0.0, 1.0)
    edge = 0.9677083  # (1 - 1/30 + 1 - 1/32) / 2
    positive = normal.icdf(torch.linspace(edge, 0.5, 9)[:-1])
    negative = -normal.icdf(torch.linspace(edge, 0.5, 8)[:-1])
    values = torch.cat([negative, torch.zeros(1), positive]).sort().values
    torch.testing.assert_close(torch.tensor(NF4_CODES), values / values.max(), rtol=0, atol=2e-4)


def test_dynamic_code():
    codes = torch.tensor(dynamic_codes())
    assert codes.shape == (256,)
    assert bool((codes.diff() > 0).all())
    assert codes[-1] == 1.0
    assert bool((codes == 0).any())


def test_nearest_code_is_nearest_and_the_lower_of_two():
    codes = torch.tensor(NF4_CODES)
    values = torch.empty(5000).uniform_(-1, 1)
    torch.testing.assert_close(nearest_codes(values, codes).long(), (values[:, None] - codes).abs().argmin(1))
    between = (codes[1:] + codes[:-1]) / 2
    assert nearest_codes(between, codes).tolist() == list(range(15))


# The first 16 hexadecimal digits of SHA-256 of what bitsandbytes 0.50.2 makes of the same numbers on a CPU.
PUBLISHED = {
    (64, 128): ("7650c0dbafebac79", "4ea539ec37a59e84"),
    (30, 31): ("d5df5098638c4bd4", "48ddbc068e2eca4c"),
}


@pytest.mark.parametrize("shape", list(PUBLISHED))
def test_bytes_equal_bitsandbytes(shape: tuple[int, int]):
    rows, columns = shape
    weight = ((torch.arange(rows * columns) * 7919 % 10007).float() / 10007 - 0.5).pow(3).view(shape)
    codes, scale_codes = PUBLISHED[shape]
    packed = PackedNF4.pack(weight, double=True)
    assert _digest(packed.codes) == codes
    assert _digest(packed.scales) == scale_codes


def _digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("size", [1, 64, 65, 128, 1000, 20000])
def test_unpacked_is_near(double: bool, size: int):
    values = torch.randn(size)
    unpacked = PackedNF4.pack(values, double=double).unpack(size, torch.float32)
    blocks = torch.nn.functional.pad(values, (0, -size % 64)).view(-1, 64).abs().amax(1).repeat_interleave(64)[:size]
    widest = max(b - a for a, b in itertools.pairwise(NF4_CODES)) / 2
    assert bool(((unpacked - values).abs() <= blocks * widest * 1.01 + (0.06 if double else 1e-6)).all())


def test_zeros_stay_zeros():
    assert torch.equal(PackedNF4.pack(torch.zeros(130), double=False).unpack(130, torch.float32), torch.zeros(130))


def test_bytes_kept():
    layer = NF4Linear(torch.randn(256, 256))
    bits = 8 * sum(buffer.nbytes for buffer in layer.buffers()) / 256**2
    assert 4.12 < bits < 4.14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients(dtype: torch.dtype):
    layer = NF4Linear(torch.randn(5, 7), torch.nn.Parameter(torch.randn(5))).to(dtype)
    x = torch.randn(2, 3, 7, dtype=dtype, requires_grad=True)
    plain = torch.nn.functional.linear(x, layer.weight_in(dtype), layer.bias)
    torch.testing.assert_close(layer(x), plain)
    upstream = torch.randn_like(plain)
    ours = torch.autograd.grad(layer(x), [x, layer.bias], upstream)
    for a, b in zip(ours, torch.autograd.grad(plain, [x, layer.bias], upstream), strict=True):
        torch.testing.assert_close(a, b)


def test_magnitudes_are_never_rounded():
    layer = NF4Linear(torch.randn(64, 64), double=False)
    before = layer.scales.clone()
    for dtype in (torch.bfloat16, torch.float64):
        layer.to(dtype)
        assert layer.scales.dtype == torch.float32
        assert torch.equal(layer.scales, before)
    loaded = NF4Linear(torch.zeros(64, 64), double=False)
    loaded.load_state_dict(layer.state_dict())
    assert torch.equal(loaded.weight_in(torch.float32), layer.weight_in(torch.float32))


def test_loading_packs_tensor_by_tensor():
    """While it is loaded, no two packable matrices are ever there in full."""
    source = Llama(CONFIG)
    published = dict(export(source.state_dict(), weight_map(CONFIG)))
    matrices = ("_proj.weight",)
    given: list[weakref.ref] = []

    def read(name: str) -> Tensor:
        tensor = published[name].clone()
        if name.endswith(matrices):
            given.append(weakref.ref(tensor))
            alive = sum(reference() is not None for reference in given)
            assert alive <= 3, "the three parts of one fused matrix at most"
        return tensor

    with torch.device("meta"):
        model = Llama(CONFIG)
    load_into(model, weight_map(CONFIG), published, read, QuantisingAssign(model))
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert model.head.weight is model.embedding.weight
    names = quantise_linears(source)
    assert len(names) == 8
    tokens = torch.randint(0, 31, (2, 9))
    assert torch.equal(model.eval()(tokens).hidden, source.eval()(tokens).hidden)
