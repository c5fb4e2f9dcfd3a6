"""Experts in NF4: packed one by one, unpacked one at a time, and the same function as their unpacked matrices."""

import weakref
from unittest import mock

import pytest
import torch
from torch import Tensor

from trivium.errors import CheckpointError
from trivium.models.mixtral import Mixtral, MixtralConfig, weight_map
from trivium.nn import quantized_experts
from trivium.nn.experts import GroupedLinear, Grouping
from trivium.nn.nf4 import PackedNF4
from trivium.nn.quantized import NF4Linear, QuantisingAssign, dequantise, quantise_linears
from trivium.nn.quantized_experts import NF4GroupedLinear, packed_experts, unpacked_experts
from trivium.nn.weight_map import export, load_into

E, K, N = 3, 10, 7
SIZES = [2, 0, 4]
CONFIG = MixtralConfig(
    vocabulary_size=31, width=16, layers=2, heads=2, key_value_heads=1, inner_width=24, experts=4, chosen_experts=2
)


def grouping(rows: int) -> Grouping:
    return Grouping(SIZES, torch.arange(rows), rows)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_gradients(dtype: torch.dtype, double: bool):
    torch.manual_seed(0)
    bias = torch.nn.Parameter(torch.randn(E, N, dtype=dtype))
    layer = packed_experts(torch.randn(E, N, K), bias, double=double).to(dtype)
    plain = unpacked_experts(layer, dtype)
    plain.bias = bias
    rows = torch.randn(8, K, dtype=dtype, requires_grad=True)  # two of them belong to no expert
    ours, theirs = layer(rows, grouping(8)), plain(rows, grouping(8))
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    for a, b in zip(*(torch.autograd.grad(y, [rows, bias], upstream) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(layer.of(2, rows[:1]), plain.of(2, rows[:1]))


def test_every_expert_is_packed_as_a_matrix_of_its_own():
    weight = torch.randn(E, N, K)
    layer = packed_experts(weight)
    for e in range(E):
        alone = PackedNF4.pack(weight[e], double=True)
        assert torch.equal(layer.codes[e], alone.codes)
        assert torch.equal(layer.scales[e], alone.scales)
        assert torch.equal(layer.weight_of(e, torch.float32), alone.unpack(N * K, torch.float32).view(N, K))
    assert layer.to(torch.bfloat16).scale_offset.dtype == torch.float32


def test_one_matrix_is_unpacked_at_a_time():
    """No tensor made in a call, forward or backward, is as large as two experts."""
    layer = packed_experts(torch.randn(E, 64, 64))
    rows = torch.randn(6, 64, requires_grad=True)
    with mock.patch.object(quantized_experts, "_unpacked", wraps=quantized_experts._unpacked) as unpacked:
        layer(rows, grouping(6)).sum().backward()
    assert [call.args[1] for call in unpacked.call_args_list] == [0, 2, 0, 2]
    assert all(call.args[2] == (64, 64) for call in unpacked.call_args_list)


def test_a_mixture_keeps_its_routers():
    torch.manual_seed(0)
    model = Mixtral(CONFIG).eval()
    routers = [block.feedforward.router.logits.weight.clone() for block in model.blocks]
    names = quantise_linears(model)
    assert len(names) == 2 * 4
    for block, router in zip(model.blocks, routers, strict=True):
        assert torch.equal(block.feedforward.router.logits.weight, router)
        assert isinstance(block.feedforward.gate_up, NF4GroupedLinear)
        assert isinstance(block.attention.qkv, NF4Linear)
    tokens = torch.randint(0, 31, (2, 9))
    packed = model(tokens).hidden
    one = model(tokens[:1, :1]).hidden
    assert sorted(dequantise(model)) == sorted(names)
    assert isinstance(model.blocks[0].feedforward.gate_up, GroupedLinear)
    torch.testing.assert_close(model(tokens).hidden, packed)
    torch.testing.assert_close(model(tokens[:1, :1]).hidden, one)


def test_loading_packs_as_the_model_is_read():
    torch.manual_seed(0)
    source = Mixtral(CONFIG).eval()
    published: dict[str, Tensor] = dict(export(source.state_dict(), weight_map(CONFIG)))
    given: list[weakref.ref] = []

    def read(name: str) -> Tensor:
        tensor = published[name].clone()
        if ".experts." in name:
            given.append(weakref.ref(tensor))
            alive = sum(reference() is not None for reference in given)
            assert alive <= 2, "the gate and the up of one expert at most"
        return tensor

    with torch.device("meta"):
        model = Mixtral(CONFIG)
    load_into(model, weight_map(CONFIG), published, read, QuantisingAssign(model))
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    quantise_linears(source)
    tokens = torch.randint(0, 31, (2, 9))
    assert torch.equal(model.eval()(tokens).hidden, source(tokens).hidden)
    wrong = published | {name: published[name][1:] for name in published if name.endswith("experts.1.w2.weight")}
    with torch.device("meta"):
        model = Mixtral(CONFIG)
    with pytest.raises(CheckpointError, match=r"experts\.1\.w2\.weight: \[15, 24\], the model has \[16, 24\]"):
        load_into(model, weight_map(CONFIG), wrong, wrong.__getitem__, QuantisingAssign(model))
