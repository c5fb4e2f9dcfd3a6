"""Packed weights are unpacked to the numbers that `transformers` unpacks, and a folder of them is the unpacked one."""

import json
import pathlib
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from trivium.checkpoints.folder import MANIFEST
from trivium.checkpoints.model_folder import load_model, save_folder
from trivium.checkpoints.packed_tensors import unpack_fp8, unpack_mxfp4
from trivium.checkpoints.stored_tensors import StoredTensors
from trivium.errors import CheckpointError, Unsupported
from trivium.models.deepseek_v3 import DeepSeekV3, DeepSeekV3Config
from trivium.models.gpt_oss import GptOss, GptOssConfig

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [8, 8]}
TOKENS = torch.arange(12).reshape(2, 6)


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_mxfp4_is_that_of_transformers(dtype: torch.dtype) -> None:
    blocks = torch.randint(256, (3, 5, 4, 16), dtype=torch.uint8, generator=chance())
    scales = torch.randint(1, 252, (3, 5, 4), dtype=torch.uint8, generator=chance())
    blocks[0, 0] = torch.arange(64).view(4, 16) * 4  # each number of four bits is there
    found = unpack_mxfp4(blocks, scales, dtype)
    assert (found.dtype, found.shape) == (dtype, (3, 128, 5))
    assert torch.equal(found, convert_moe_packed_tensors(blocks, scales, dtype=dtype))
    assert torch.equal(unpack_mxfp4(blocks, scales).float(), unpack_mxfp4(blocks, scales, torch.float32))


def test_mxfp4_by_hand() -> None:
    blocks = torch.zeros(1, 1, 16, dtype=torch.uint8)
    blocks[0, 0, :2] = torch.tensor([0x21, 0xF9])  # 0.5, 1; then -0.5, -6
    for scale, factor in ((127, 1.0), (128, 2.0), (120, 2**-7), (0, 2.0**-127)):
        found = unpack_mxfp4(blocks, torch.full((1, 1), scale, dtype=torch.uint8))
        assert found[:4, 0].tolist() == [0.5 * factor, factor, -0.5 * factor, -6 * factor]
    assert unpack_mxfp4(blocks, torch.full((1, 1), 255, dtype=torch.uint8)).isnan().all()  # as the standard has it


@pytest.mark.parametrize(("shape", "block"), [((256, 384), (128, 128)), ((24, 16), (8, 8)), ((6, 10), None)])
def test_fp8_is_that_of_transformers(shape: tuple[int, int], block: tuple[int, int] | None) -> None:
    values = (torch.randn(shape, generator=chance()) * 50).to(torch.float8_e4m3fn)
    high, wide = block or shape
    scales = torch.rand(shape[0] // high, shape[1] // wide, generator=chance())
    for dtype in (torch.float32, torch.bfloat16):
        expected = Fp8Dequantize(None)._dequantize_one(values, scales, dtype)
        assert torch.equal(unpack_fp8(values, scales, dtype, block=block), expected)
    if block is None:
        assert torch.equal(unpack_fp8(values, scales.reshape(()), block=None), unpack_fp8(values, scales, block=None))


def test_blocks_of_fp8_that_the_edge_cuts_off() -> None:
    """As of the published kv_a_proj_with_mqa, 576 rows: every number by the factor of its place."""
    values = torch.randn(11, 13, generator=chance()).to(torch.float8_e4m3fn)
    scales = torch.rand(3, 4, generator=chance())
    expected = torch.stack(
        [torch.stack([values[i, j].float() * scales[i // 4, j // 4] for j in range(13)]) for i in range(11)]
    )
    assert torch.equal(unpack_fp8(values, scales, block=(4, 4)), expected)


@pytest.mark.parametrize(
    ("values", "scales"),
    [
        (torch.zeros(8, 8, dtype=torch.float8_e4m3fn), torch.ones(2, 1)),
        (torch.zeros(8, 8, dtype=torch.bfloat16), torch.ones(1, 1)),
        (torch.zeros(8, 8, dtype=torch.float8_e4m3fn), torch.ones(1, 1, dtype=torch.uint8)),
    ],
)
def test_factors_of_something_else(values: Tensor, scales: Tensor) -> None:
    with pytest.raises(CheckpointError, match="do not belong together"):
        unpack_fp8(values, scales, block=(8, 8))


# Folders -------------------------------------------------------------------------------------------------------------


def gpt_oss() -> nn.Module:
    sizes = {"vocabulary_size": 13, "width": 32, "layers": 2, "heads": 2, "head_width": 8, "inner_width": 64}
    return GptOss(GptOssConfig(**sizes, experts=3, chosen_experts=2, window_tokens=4))


def deepseek() -> nn.Module:
    sizes = {"vocabulary_size": 13, "width": 20, "layers": 2, "heads": 2, "head_width": 8, "inner_width": 12}
    experts = {"experts": 4, "chosen_experts": 2, "expert_groups": 2, "chosen_groups": 1, "dense_layers": 1}
    return DeepSeekV3(DeepSeekV3Config(**sizes, **experts, rank=6, query_rank=10))


def in_mxfp4(weight: Tensor) -> dict[str, Tensor]:
    """``[E, in, out]`` in four bits: the nearest of the numbers, under the power of two that the largest one needs."""
    rows = weight.transpose(1, 2)
    blocks = rows.unflatten(-1, (-1, 32))
    exponents = (blocks.abs().amax(-1) / 6).log2().ceil().clamp(-127, 127)
    numbers = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = ((blocks.abs() / exponents.exp2()[..., None])[..., None] - numbers).abs().argmin(-1)
    codes = (codes + 8 * (blocks < 0)).to(torch.uint8)
    return {"_blocks": codes[..., 0::2] | codes[..., 1::2] << 4, "_scales": (exponents + 127).to(torch.uint8)}


def in_fp8(weight: Tensor) -> dict[str, Tensor]:
    rows, columns = weight.shape
    scales = torch.rand(-(-rows // 8), -(-columns // 8), generator=chance()) + 0.5
    spread = scales.repeat_interleave(8, 0)[:rows].repeat_interleave(8, 1)[:, :columns]
    return {"": (weight / spread).to(torch.float8_e4m3fn), "_scale_inv": scales}


def pack(folder: pathlib.Path, stated: dict[str, Any]) -> None:
    """Packs a saved folder as the published one is packed."""
    tensors, packed = load_file(folder / "model.safetensors"), {}
    for name, tensor in tensors.items():
        if stated["quant_method"] == "mxfp4":
            chosen, form = name.endswith(("experts.gate_up_proj", "experts.down_proj")), in_mxfp4
        else:
            chosen, form = name.endswith("proj.weight") or "kv_a_proj" in name or "kv_b_proj" in name, in_fp8
        packed |= {name + end: part.contiguous() for end, part in form(tensor).items()} if chosen else {name: tensor}
    assert len(packed) > len(tensors)
    save_file(packed, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": stated}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / MANIFEST).unlink()


@pytest.mark.parametrize(("make", "stated"), [(gpt_oss, {"quant_method": "mxfp4"}), (deepseek, FP8)])
def test_a_packed_folder_is_the_unpacked_one(make: Any, stated: dict[str, Any], tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    save_folder(tmp_path / "packed", make())
    whole = load_file(tmp_path / "packed" / "model.safetensors")
    pack(tmp_path / "packed", stated)
    stored = StoredTensors(tmp_path / "packed")
    assert set(stored.all) == set(whole)
    assert stored.floating_dtype() == torch.float32
    unpacked = {name: stored.read(name, torch.float32).contiguous() for name in stored.all}
    for name, tensor in whole.items():
        largest = tensor.abs().max().item()
        torch.testing.assert_close(unpacked[name], tensor, atol=0.3 * largest, rtol=0)  # it is the same matrix
    save_folder(tmp_path / "plain", load_model(tmp_path / "packed"))
    saved = load_file(tmp_path / "plain" / "model.safetensors")
    assert saved.keys() == unpacked.keys()
    assert all(torch.equal(saved[name], unpacked[name]) for name in saved)
    packed, plain = load_model(tmp_path / "packed"), load_model(tmp_path / "plain")
    assert torch.equal(packed(TOKENS).hidden, plain(TOKENS).hidden)
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    narrow = load_model(tmp_path / "packed", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(tensor, plain.state_dict()[name].to(tensor.dtype)) for name, tensor in narrow.items())


def test_other_formats_are_refused_by_their_name(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "model", deepseek())
    (tmp_path / "model" / MANIFEST).unlink()
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    for stated, named in (({"quant_method": "awq", "bits": 4}, "awq"), (FP8 | {"fmt": "e5m2"}, "fp8, fmt e5m2")):
        path.write_text(json.dumps(config | {"quantization_config": stated}))
        with pytest.raises(Unsupported, match=rf"quant_method {named}[\s\S]*unpacked"):
            load_model(tmp_path / "model")
    path.write_text(json.dumps(config | {"quantization_config": FP8 | {"weight_block_size": 128}}))
    with pytest.raises(CheckpointError, match="no pair of sizes"):
        load_model(tmp_path / "model")


def test_a_scale_that_does_not_fit_is_told_by_name(tmp_path: pathlib.Path) -> None:
    save_folder(tmp_path / "model", deepseek())
    pack(tmp_path / "model", FP8)
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    name = "model.layers.0.self_attn.o_proj.weight"
    save_file(tensors | {f"{name}_scale_inv": torch.ones(1, 1)}, tmp_path / "model" / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{name}: packed numbers"):
        load_model(tmp_path / "model")
