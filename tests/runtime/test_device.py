"""Devices and number formats: what is chosen, and what is refused with its reason."""

import pytest
import torch

from trivium.errors import UserError
from trivium.runtime import device, machine

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Pretends that the processor has exactly these instruction sets."""

    def has(*names: str) -> None:
        monkeypatch.setattr(machine, "instruction_sets", lambda: names)

    return has


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that there are this many GPUs of a capability."""

    def have(count: int, capability: tuple[int, int] = (8, 0)) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    return have


def test_auto_is_the_gpu_where_there_is_one(gpus):
    gpus(1)
    assert device.choose_device("auto").type == "cuda"
    gpus(0)
    assert device.choose_device("auto") == CPU


@pytest.mark.parametrize("name", ["tpu", "gpu", "meta", ""])
def test_no_such_device(name):
    with pytest.raises(UserError, match="no such device"):
        device.choose_device(name)


def test_a_gpu_that_is_not_here(gpus):
    gpus(2)
    assert device.choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="one of 2 CUDA devices"):
        device.choose_device("cuda:2")
    gpus(0)
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        device.choose_device("cuda")


@pytest.mark.parametrize("sets", [("avx512_bf16",), ("avx2", "amx_bf16"), ("asimd", "bf16")])
def test_bfloat16_where_the_processor_has_it(processor, sets):
    processor(*sets)
    assert device.choose_dtype("bfloat16", CPU) is torch.bfloat16
    assert device.choose_dtype("auto", CPU) is torch.bfloat16


def test_bfloat16_is_refused_with_the_reason_where_the_processor_emulates_it(processor):
    processor("avx2", "avx512f", "avx512_vnni")
    with pytest.raises(UserError) as caught:
        device.choose_dtype("bfloat16", CPU)
    message = str(caught.value)
    assert "the processor has none of amx_bf16, avx512_bf16, bf16" in message
    assert "about 5 times slower" in message
    assert "use --dtype float32" in message
    assert device.choose_dtype("auto", CPU) is torch.float32


def test_float16_is_refused_on_a_cpu():
    with pytest.raises(UserError, match="about 100 times slower"):
        device.choose_dtype("float16", CPU)


def test_a_gpu_before_8_0_refuses_bfloat16_and_takes_float16(gpus):
    gpus(1, (7, 5))
    cuda = torch.device("cuda")
    with pytest.raises(UserError, match=r"7\.5 has no bfloat16"):
        device.choose_dtype("bfloat16", cuda)
    assert device.choose_dtype("auto", cuda) is torch.float32
    assert device.choose_dtype("float16", cuda) is torch.float16
    gpus(1, (9, 0))
    assert device.choose_dtype("auto", cuda) is torch.bfloat16


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_the_plain_formats_work_anywhere(processor, name):
    processor()
    assert device.choose_dtype(name, CPU) is getattr(torch, name)


def test_an_unknown_format_lists_the_known():
    with pytest.raises(UserError, match="auto, float32, bfloat16, float16, float64"):
        device.choose_dtype("int8", CPU)
