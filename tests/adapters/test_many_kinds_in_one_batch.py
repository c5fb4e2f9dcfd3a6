"""A LoRA, a prefix, bottlenecks, an adapter beside the feed-forward layer and a LLaMA-Adapter over one base.

Each row of a batch is what it would be alone: in rows, packed, and while writing.
"""

import pytest
import torch
from torch import Tensor, nn

from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.beginning import begin
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import route
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.models.mistral import Mistral, MistralConfig
from trivium.nn.quantized import quantise_linears

V = 29
ADAPTERS = {
    "low_rank": LoRAConfig(rank=2, targets="all-linear"),
    "prefix": PrefixConfig(tokens=3),
    "houlsby": BottleneckConfig(width=4),
    "pfeiffer": BottleneckConfig(kind="pfeiffer", width=3, layers=(1,)),
    "parallel": ParallelAdapterConfig(width=4, learnt_scale=True),
    "prompt": LlamaAdapterConfig(tokens=3, layers=1),
}
ROWS: list[str | None] = ["prompt", "low_rank", None, "houlsby", "prefix", "parallel", "pfeiffer", "prompt", "low_rank"]
LENGTHS = torch.tensor([6, 3, 5, 6, 1, 4, 6, 2, 5])


def build(kind: str) -> nn.Module:
    torch.manual_seed(1)
    sizes = {"vocabulary_size": V, "width": 16, "layers": 2}
    if kind == "gpt2":
        model: nn.Module = GPT2(GPT2Config(**sizes, heads=2, context_tokens=32))
    else:
        model = Mistral(MistralConfig(**sizes, heads=4, key_value_heads=2, inner_width=24, window_tokens=4))
    if kind == "mistral in nf4":
        quantise_linears(model)
    model = model.double().eval()
    for name, config in ADAPTERS.items():
        attach(model, name, config)
        with torch.no_grad():
            for parameter in adapter_parameters(model, name).values():
                parameter.add_(torch.randn_like(parameter), alpha=0.4)
    return model


def alone(model: nn.Module, row: str | None, tokens: Tensor) -> Tensor:
    """``[T, D]`` of one text under its adapter, read at once."""
    with route(model, [row]):
        return model(tokens[None], state=begin(model, [row], len(tokens))).hidden[0]


@pytest.mark.parametrize("kind", ["gpt2", "mistral", "mistral in nf4"])
@torch.no_grad()
def test_each_row_is_what_it_is_alone(kind: str):
    model, tokens = build(kind), torch.randint(V, (len(ROWS), 9))
    expected = [alone(model, row, tokens[b, : LENGTHS[b] + 3]) for b, row in enumerate(ROWS)]
    for a in range(6):
        for b in range(a):
            assert (expected[a][0] - expected[b][0]).abs().max() > 1e-3, "the adapters differ"
    segments = torch.repeat_interleave(LENGTHS)[None]
    packed = torch.cat([tokens[b, :length] for b, length in enumerate(LENGTHS.tolist())])[None]
    for ragged in (False, True):
        with route(model, ROWS):
            state = begin(model, ROWS, 9)
        if ragged:
            with route(model, ROWS, segments=segments):
                output = model(packed, segments=segments, state=state)
            read = list(output.hidden[0].split(LENGTHS.tolist()))
        else:
            with route(model, ROWS):
                output = model(tokens[:, :6], lengths=LENGTHS, state=state)
            read = [output.hidden[b, :length] for b, length in enumerate(LENGTHS.tolist())]
        for b, length in enumerate(LENGTHS.tolist()):
            torch.testing.assert_close(read[b], expected[b][:length], rtol=0, atol=1e-10)
        for step in range(3):  # one token of each, from the cache
            following = tokens[torch.arange(len(ROWS)), LENGTHS + step][:, None]
            with route(model, ROWS):
                output = model(following, state=output.state)
            for b, length in enumerate(LENGTHS.tolist()):
                torch.testing.assert_close(output.hidden[b, 0], expected[b][length + step], rtol=0, atol=1e-10)


def test_gradients_of_a_mixed_batch_are_those_of_its_rows():
    """Nothing of one row's adapter reaches another's."""
    model, tokens = build("mistral"), torch.randint(V, (3, 6))
    rows: list[str | None] = ["houlsby", "prompt", "parallel"]
    parameters = [p for row in rows for p in adapter_parameters(model, str(row)).values()]
    with route(model, rows):
        together = torch.autograd.grad(model(tokens).hidden.square().sum(), parameters)
    apart = []
    for b, row in enumerate(rows):
        own = list(adapter_parameters(model, str(row)).values())
        with route(model, [row]):
            apart += torch.autograd.grad(model(tokens[[b]]).hidden.square().sum(), own)
    for ours, expected in zip(together, apart, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
