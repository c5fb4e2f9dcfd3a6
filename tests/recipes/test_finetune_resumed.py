"""Runs of adapters and of parts of a model, killed and resumed: bit for bit, and on no other base."""

import pathlib
import shutil
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.resuming import assert_resumes_bit_for_bit
from tests.recipes.texts import write_tasks
from tests.recipes.tuning import tuned
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.selective import SelectiveConfig
from trivium.errors import CheckpointError
from trivium.recipes import finetune
from trivium.recipes.method_config import MethodName
from trivium.recipes.mixing import MixingConfig
from trivium.recipes.rehearsal import RehearsalConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.run import Run

RESUMED = (
    ("lora", {"lora": LoRAConfig(rank=2, dropout=0.1, targets="all-linear")}),
    ("qlora", {"lora": LoRAConfig(rank=2, dropout=0.1, targets="all-linear")}),
    ("prefix", {"prefix": PrefixConfig(tokens=3, projection=True)}),
    ("full", {"selective": SelectiveConfig(unfreeze_every_steps=3, rate_factor=1 / 2.6)}),
)


@pytest.mark.parametrize(("method", "settings"), RESUMED, ids=[name for name, _ in RESUMED])
def test_a_run_that_was_killed_goes_on_bit_for_bit(
    method: MethodName,
    settings: dict[str, Any],
    gpt2: pathlib.Path,
    pairs: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """What is mixed and rehearsed goes on with it."""
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    often = TrainingConfig(checkpoint_every_steps=2, evaluate_every_steps=4, log_every_steps=1)

    data = write_tasks(tmp_path / "tasks.jsonl", pairs)
    mixed = {"mixing": MixingConfig(temperature=3.0), "rehearsal": RehearsalConfig(share=0.2, data=(pairs,))}

    def carry_out(**given: Any) -> Run:
        return tuned(gpt2, data, tmp_path, method, steps=9, training=often, **mixed, **settings, **given)

    assert_resumes_bit_for_bit(carry_out, monkeypatch)


def test_a_run_is_not_resumed_on_another_base(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path):
    folder = tmp_path / "model"
    shutil.copytree(gpt2, folder)
    tuned(folder, pairs, tmp_path, "lora")
    other = trivium.load(folder)
    with torch.no_grad():
        other.network.embedding.weight += 1
    trivium.save(other, folder)
    with pytest.raises(CheckpointError, match="started from other weights"):
        tuned(folder, pairs, tmp_path, "lora", resume=True)
