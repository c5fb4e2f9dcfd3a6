"""What went wrong elsewhere in whole runs of tuning, held against ours; each of these is seen to fail.

The bugs: a resumed run begins with the order of its first pass (accelerate #2016), or does nothing at the end of a pass
(verl #5725); a checkpoint is half written (Lightning #688) or cannot be written over what is left of one (NeMo
Automodel #3254); tied weights come apart (transformers #38870).
"""

import json
import pathlib
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.resuming import Killed, assert_resumes_bit_for_bit, final_weights
from tests.recipes.texts import write_pairs
from tests.recipes.tuning import tuned
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints import adapter_folder
from trivium.data import poisson
from trivium.recipes import finetune
from trivium.recipes.merge import MergeConfig, merge
from trivium.recipes.method_config import MethodName
from trivium.recipes.training import TrainingConfig
from trivium.runtime import atomic
from trivium.training.layer_sampling import LayerSamplingConfig
from trivium.training.private_gradients import PrivacyConfig
from trivium.training.run import Run

STEPS = 9
OFTEN = TrainingConfig(checkpoint_every_steps=2, evaluate_every_steps=4, log_every_steps=1)
LORA: dict[str, Any] = {"lora": LoRAConfig(rank=2, dropout=0.1, targets="all-linear")}
RUNS: tuple[tuple[str, MethodName, int, dict[str, Any]], ...] = (
    ("lora", "lora", 5, LORA),
    ("lisa", "lisa", 6, {"layer_sampling": LayerSamplingConfig(blocks=1, every_steps=2)}),
    ("private", "lora", 5, {**LORA, "privacy": PrivacyConfig(noise=1.0)}),
)
"""Methods, the step in which they are killed (both go on from the fourth, the end of a pass), and settings."""


@pytest.fixture
def few(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Examples that are two batches, so that runs pass over them several times; what is private draws the same."""
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)
    monkeypatch.setattr(poisson.secrets, "randbits", lambda bits: 5)
    return write_pairs(tmp_path / "few.jsonl", 9)


@pytest.mark.parametrize(("method", "at", "settings"), [run[1:] for run in RUNS], ids=[run[0] for run in RUNS])
def test_a_run_resumed_in_a_later_pass_goes_on_bit_for_bit(
    method: MethodName,
    at: int,
    settings: dict[str, Any],
    gpt2: pathlib.Path,
    few: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """All steps that were planned are done."""

    def carry_out(**given: Any) -> Run:
        run = tuned(gpt2, few, tmp_path, method, validation=few, steps=STEPS, training=OFTEN, **settings, **given)
        assert [row["step"] for row in run.metrics()] == list(range(1, STEPS + 1))
        return run

    assert_resumes_bit_for_bit(carry_out, monkeypatch, at=at)


def test_a_run_killed_while_it_writes_an_adapter_keeps_the_one_before_and_goes_on(
    gpt2: pathlib.Path, few: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    def carry_out(run: str, **given: Any) -> Run:
        options = {"validation": few, "steps": STEPS, "training": OFTEN, "run": run, **LORA, **given}
        return tuned(gpt2, few, tmp_path, "lora", **options)

    whole = final_weights(carry_out("whole"))
    write, calls = adapter_folder.write_tensor_dict, []

    def dying(writer: Any, name: str, tensors: Any) -> None:
        calls.append(name)
        if len(calls) == 3:
            writer.write_text(name, "half of it")
            raise Killed
        write(writer, name, tensors)

    monkeypatch.setattr(adapter_folder, "write_tensor_dict", dying)
    with pytest.raises(Killed):
        carry_out("killed")
    monkeypatch.setattr(adapter_folder, "write_tensor_dict", write)
    killed = Run.open(tmp_path / "killed")
    assert killed.saved_steps()[-1] == 4
    assert trivium.load(killed.folder).generate("a", max_new_tokens=1), "what was published before is whole"
    left = atomic.hidden(killed.checkpoints / "step-00000006", atomic.PARTIAL)  # as a kill that nothing sees leaves it
    left.mkdir()
    (left / "adapter_model.safetensors").write_text("half of it")
    resumed = final_weights(carry_out("killed", resume=True))
    assert not left.exists()
    assert resumed.keys() == whole.keys() and all(resumed[name].equal(whole[name]) for name in whole)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_tied_weights_stay_tied(method: MethodName, gpt2: pathlib.Path, few: pathlib.Path, tmp_path: pathlib.Path):
    """Trained, saved, merged and opened: one tensor in the model and in the file, to the last bit."""
    run = tuned(gpt2, few, tmp_path, method, validation=few)
    folder = run.folder
    if method == "lora":
        folder = tmp_path / "merged"
        merge(MergeConfig(adapters=(run.folder,), output=folder))
    network = trivium.load(folder).network
    assert network.head.weight is network.embedding.weight
    again = tmp_path / "again"
    trivium.save(trivium.load(folder), again)
    saved = trivium.load(again).network.state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
    assert json.loads((again / "config.json").read_text())["tie_word_embeddings"]
