"""The mean of a run's last checkpoints: often better than any of them, for the price of reading them once.

Vaswani et al. 2017 (section 6.1) translate with the mean of the last 5 checkpoints of the base model, written every 10
minutes, and of the last 20 of the big one.

    model = average_checkpoints(last_checkpoints(Run.open("runs/translation"), 5))
    save_folder("translation", model, tokenizer=tokenizer)
"""

import pathlib
from collections.abc import Sequence

import torch
from torch import nn

from trivium.checkpoints.model_folder import load_model
from trivium.errors import CheckpointError, ConfigError
from trivium.training.learners.updates import own_tensors
from trivium.training.run import Run


def last_checkpoints(run: Run, count: int) -> list[pathlib.Path]:
    """The folders of the last `count` checkpoints of `run`, the oldest first. `ConfigError` where it kept fewer."""
    if count < 1:
        raise ConfigError("an average is of at least one checkpoint", received=count)
    steps = run.saved_steps()
    if len(steps) < count:
        raise ConfigError(
            "the run has not kept that many checkpoints",
            received=f"{len(steps)} in {run.checkpoints}",
            expected=f"{count} to average",
            fix=f"average fewer, or train with keep_last set to {count}",
        )
    return [run.checkpoint(step) for step in steps[-count:]]


@torch.no_grad()
def average_checkpoints(folders: Sequence[pathlib.Path]) -> nn.Module:
    """The model of `folders` with the mean of their weights, in evaluation mode and in the dtype of the last.

    Summed in float64, one checkpoint in memory at a time. What is shared stays shared; buffers of whole numbers are the
    last checkpoint's. Raises `CheckpointError` for folders of different models, or that `load_model` refuses.
    """
    assert folders, "an average of nothing"
    model = load_model(folders[-1], dtype=None)
    ours = {name: tensor for name, tensor in own_tensors(model).items() if tensor.is_floating_point()}
    sums = {name: tensor.double() for name, tensor in ours.items()}
    for folder in folders[:-1]:
        other = load_model(folder, dtype=None)
        if type(other) is not type(model) or other.config != model.config:
            raise CheckpointError(
                "checkpoints of different models have no average",
                received=f"{folder} and {folders[-1]}",
                expected="one config.json",
                fix="average checkpoints of one run",
            )
        theirs = own_tensors(other)
        for name, total in sums.items():
            total += theirs[name]
    for name, tensor in ours.items():
        tensor.copy_(sums[name] / len(folders))
    return model
