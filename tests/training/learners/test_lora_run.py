"""A LoRA on an NF4 base through the one Trainer: its checkpoints are PEFT folders, and it can be resumed."""

import pathlib

import torch
from torch import nn

from tests.training.toys import NumberedSource, batch, learner_of
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import load_adapter, write_adapter
from trivium.checkpoints.folder import FolderWriter
from trivium.checkpoints.tensors import TensorFile
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.quantized import quantise_linears
from trivium.training.run import Run
from trivium.training.trainer import Trainer, TrainerConfig


def base() -> Llama:
    torch.manual_seed(1)
    model = Llama(LlamaConfig(vocabulary_size=32, width=16, layers=1, heads=2, inner_width=24))
    quantise_linears(model)
    return model


def adapted() -> Llama:
    model = base()
    attach(model, "mine", LoRAConfig(rank=2, dropout=0.1))
    return model


def publish(writer: FolderWriter, model: nn.Module, _: dict[str, torch.Tensor]) -> None:
    write_adapter(writer, model, "mine", base="the base")


def run(folder: pathlib.Path, steps: int, *, resume: bool = False) -> Llama:
    model = adapted()
    plan = TrainerConfig(steps=steps, checkpoint_every_steps=2, log_every_steps=1, evaluate_every_steps=4)
    started = Run.start(folder, {"plan": "lora"}, resume=resume)
    learner = learner_of(model, steps=8)
    Trainer(started, learner, NumberedSource(), plan, validation=[batch(9)], publish=publish).fit()
    return model.eval()


def test_resumed_equals_whole_and_the_checkpoint_is_an_adapter(tmp_path: pathlib.Path):
    whole = run(tmp_path / "whole", 8)
    run(tmp_path / "parts", 4)
    parts = run(tmp_path / "parts", 8, resume=True)
    for (name, tensor), other in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name
    resumed = TensorFile(tmp_path / "parts" / "checkpoints" / "last" / "resume" / "learner.safetensors").names
    learnt = [name for name in resumed if name.startswith("learner/model/")]
    assert learnt and all(".updates.mine." in name for name in learnt), "the frozen base is in the checkpoint"
    opened = base()
    load_adapter(tmp_path / "parts" / "checkpoints" / "last", opened, "yours")
    tokens = batch(9).tokens
    assert torch.equal(opened.eval()(tokens).hidden, whole(tokens).hidden)
    assert not torch.equal(base().eval()(tokens).hidden, whole(tokens).hidden)
