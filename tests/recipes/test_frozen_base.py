"""A base in bfloat16 under adapters in fp32: as near to one in fp32 as rounding leaves it, for every method."""

import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from tests.lm.small import network as small
from tests.recipes.tuning import said, tuned
from trivium.adapters.attach import adapter_parameters
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.data.examples import Example, ExamplesSource
from trivium.errors import UserError
from trivium.nn.quantized import quantise_linears
from trivium.objectives.causal import causal
from trivium.recipes import finetune
from trivium.recipes.adapting import ADAPTER, adapt
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import WAYS, MethodName
from trivium.recipes.prompted import prompted
from trivium.recipes.retention import RetentionConfig
from trivium.runtime.device import why_not_bfloat16

ADAPTERS = [name for name, way in WAYS.items() if way.part is None]
SMALL: dict[str, Any] = {
    "lora": LoRAConfig(rank=2, targets="all-linear"),
    "ia3": IA3Config(targets=("c_attn", "mlp.c_proj"), feedforward=("mlp.c_proj",)),
    "bottleneck": BottleneckConfig(width=4),
    "parallel": ParallelAdapterConfig(width=4),
    "prefix": PrefixConfig(tokens=3, projection=True),
    "soft_prompt": SoftPromptConfig(tokens=3),
    "p_tuning": PTuningConfig(tokens=3, hidden_width=8),
    "llama_adapter": LlamaAdapterConfig(layers=1),
}
EXAMPLES = [Example.of([1, 2], [3 + n] * 4, end_id=0) for n in range(8)]


def adapted(method: MethodName, dtype: torch.dtype) -> nn.Module:
    """A small GPT-2 in ``dtype``, or packed, with a new adapter."""
    name = WAYS[method].settings
    config = FinetuneConfig(model=pathlib.Path("a"), data=pathlib.Path("b"), method=method, **{name: SMALL[name]})
    network = small("gpt2", 40).float()
    if WAYS[method].quantize:
        quantise_linears(network)
    torch.manual_seed(1)
    adapt(network.to(dtype), method, config.method_settings, lora_plus_ratio=16.0)
    return network


def learnt(network: nn.Module) -> tuple[float, torch.Tensor]:
    """Loss and gradient of the adapter, computed in bfloat16."""
    batch = next(ExamplesSource(EXAMPLES, vocabulary_size=40, context_tokens=8, rows=2))
    with torch.autocast("cpu", torch.bfloat16):
        loss = prompted(causal)(network, batch)
    loss.total.backward()
    found = [parameter.grad for parameter in adapter_parameters(network, ADAPTER).values()]
    gradients = [gradient for gradient in found if gradient is not None]
    assert gradients and all(gradient.dtype is torch.float32 for gradient in gradients)
    return float(loss.total.detach()) / float(loss.count), torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("method", ADAPTERS)
def test_every_method_learns_on_it_as_on_one_in_fp32(method: MethodName):
    wide, narrow = adapted(method, torch.float32), adapted(method, torch.bfloat16)
    started, own = (adapter_parameters(network, ADAPTER) for network in (wide, narrow))
    assert all(parameter.dtype is torch.float32 for parameter in own.values())
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(started[name])
    (expected, wanted), (loss, gradient) = learnt(wide), learnt(narrow)
    assert loss == pytest.approx(expected, rel=0.03)
    assert torch.cosine_similarity(gradient, wanted, dim=0) > 0.9


def test_a_run_holds_it_so(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: Any):
    """Only under an adapter, which is what is saved, in fp32; also where the adapter goes on, or is held near."""
    reason = why_not_bfloat16(torch.device("cpu"))
    if reason is not None:
        with pytest.raises(UserError, match="bfloat16 is refused"):
            tuned(gpt2, pairs, tmp_path, "lora", dtype="bfloat16")
        return
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    seen = []
    train = finetune.train

    def looking(config: FinetuneConfig, job: Any, **named: Any) -> Any:
        seen.append({(p.dtype, p.requires_grad) for p in job.model.parameters()})
        return train(config, job, **named)

    monkeypatch.setattr(finetune, "train", looking)
    held = RetentionConfig(kept_close=0.1)
    first = tuned(gpt2, pairs, tmp_path, "lora", run="first", steps=2, dtype="bfloat16", retention=held)
    tuned(first.folder, pairs, tmp_path, None, run="second", steps=2, dtype="bfloat16")
    tuned(gpt2, pairs, tmp_path, "bitfit", run="third", steps=1, dtype="bfloat16")
    adapter = {(torch.bfloat16, False), (torch.float32, True)}
    assert seen == [adapter, adapter, {(torch.float32, False), (torch.float32, True)}]
    assert said(first)["method"] == "lora"
