"""What the training recipes share: steps that fit in the time are measured on a copy."""

import pathlib

import pytest
import torch
from torch import nn

from trivium import tokenizers
from trivium.adapters.attach import adapter_parameters, attach
from trivium.adapters.lora import LoRAConfig
from trivium.data.examples import Example, ExamplesSource
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.nn.quantized import quantise_linears
from trivium.recipes import training
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.training import Job, seconds_a_step
from trivium.training.optimisers import OptimiserConfig

EXAMPLES = [Example.of([1, 2], [3 + n] * 4, end_id=0) for n in range(8)]


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


@pytest.mark.parametrize("base", ["plain", "packed"])
def test_an_update_of_an_adapter_is_timed_without_a_second_base(base: str, monkeypatch: pytest.MonkeyPatch):
    """What is trained is copied, and is what it was afterwards; what is frozen is the same memory."""
    torch.manual_seed(0)
    network = GPT2(GPT2Config(vocabulary_size=32, width=16, layers=1, heads=2, context_tokens=16))
    if base == "packed":
        quantise_linears(network)
    attach(network, "tuned", LoRAConfig(rank=2, targets="all-linear"))
    before = {name: tensor.clone() for name, tensor in tensors(network).items()}
    timed: list[nn.Module] = []
    monkeypatch.setattr(training, "prepare_model", lambda model, _: timed.append(model))
    job = Job(
        model=network,
        tokenizer=tokenizers.train(["a"], kind="character", vocabulary_size=None),
        source=lambda: ExamplesSource(EXAMPLES, vocabulary_size=32, context_tokens=8, rows=2),
        validation=[],
        metadata={},
    )
    settings = FinetuneConfig(
        model=pathlib.Path("a"), data=pathlib.Path("b"), optimiser=OptimiserConfig(learning_rate=0.1)
    )
    assert seconds_a_step(settings, job) > 0
    own, copied = tensors(network), tensors(timed[0])
    trained = adapter_parameters(network, "tuned")
    assert own.keys() == copied.keys() and all(own[name].equal(before[name]) for name in own)
    assert {name for name in own if copied[name] is not own[name]} == trained.keys()
    assert any(not copied[name].equal(own[name]) for name in trained)
