"""An adapter that is trained further: as it was, on the base that it was made for, bit for bit after a stop too."""

import json
import pathlib
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.resuming import assert_resumes_bit_for_bit, final_weights
from tests.recipes.tuning import said, tuned
from trivium.adapters.attach import attach
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.checkpoints.provenance import weights_sha256
from trivium.errors import CheckpointError, ConfigError, Unsupported
from trivium.lm.trace import trace
from trivium.recipes import finetune
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.method_config import MethodName
from trivium.recipes.training import TrainingConfig
from trivium.training.optimisers import OptimiserConfig
from trivium.training.run import Run

SETTINGS: dict[str, dict[str, Any]] = {
    "rslora": {"lora": LoRAConfig(rank=3, alpha=5.0, dropout=0.1, targets="all-linear")},
    "qlora": {"lora": LoRAConfig(rank=2, targets="all-linear")},
}


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "write_run_report", lambda *given, **named: None)


def further(adapter: pathlib.Path, data: pathlib.Path, output: pathlib.Path, **settings: Any) -> Run:
    return tuned(adapter, data, output, None, **{"run": "further", **settings})


@pytest.mark.usefixtures("unreported")
@pytest.mark.parametrize(
    ("method", "goes_on_as"),
    [
        ("qlora", "qlora"),
        ("lora+", "lora+"),
        ("pissa", "lora"),
        ("p-tuning", "soft-prompt"),
    ],
)
def test_it_goes_on_as_it_stands(
    method: MethodName, goes_on_as: str, gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    """With no rate at all it is what it was: the weights, the method, the settings, and where it came from."""
    first = tuned(gpt2, pairs, tmp_path, method, steps=2, **SETTINGS.get(method, {}))
    still = OptimiserConfig(learning_rate=1e-30, weight_decay=0.0)
    second = further(first.folder, pairs, tmp_path, steps=1, optimiser=still)
    told, before = said(second), said(first)
    assert told["method"] == goes_on_as and told.get("quantize") == before.get("quantize")
    assert told["parent_sha256"] == before["parent_sha256"] == weights_sha256(gpt2)
    assert told["adapter"] == str(first.folder)
    assert told["adapter_sha256"] == weights_sha256(first.checkpoints / "best")
    old, new = (json.loads((run.checkpoints / "best" / "adapter_config.json").read_text()) for run in (first, second))
    assert old.get("r") == new.get("r") and old.get("lora_dropout") == new.get("lora_dropout")
    ids = torch.tensor([[1, 2, 3]])
    logits = [trivium.load(run.folder).logits(ids) for run in (first, second)]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-6, atol=1e-6)
    assert trace(second.folder).state == "verified"


def test_it_learns_resumes_bit_for_bit_and_from_no_other_adapter(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, unreported: None
):
    first = tuned(gpt2, pairs, tmp_path, "rslora", **SETTINGS["rslora"])
    often = TrainingConfig(checkpoint_every_steps=2, evaluate_every_steps=4, log_every_steps=1)

    def carry_out(**given: Any) -> Run:
        return further(first.folder, pairs, tmp_path, steps=6, training=often, **given)

    assert_resumes_bit_for_bit(carry_out, monkeypatch, at=4)
    run = Run.open(tmp_path / "whole")
    assert run.config["method"] == "rslora" and run.config["lora"]["rank"] == 3 and run.config["lora"]["dropout"] == 0.1
    assert run.metrics()[-1]["validation_loss"] < first.metrics()[-1]["validation_loss"]
    began, ended = final_weights(first), final_weights(run)
    assert began.keys() == ended.keys() and not any(began[name].equal(ended[name]) for name in began)
    other = tuned(gpt2, pairs, tmp_path, "rslora", run="other", steps=2, **SETTINGS["rslora"])
    with pytest.raises(CheckpointError, match=r"started from other weights[\s\S]*other"):
        further(other.folder, pairs, tmp_path, run="whole", resume=True)


def test_what_contradicts_it_is_refused(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path):
    base = trivium.load(gpt2)
    attach(base.network, "mine", LoRAConfig(rank=2, targets="all-linear"))
    save_adapter(tmp_path / "lora", base.network, "mine", base=str(gpt2))
    message = r"of another method[\s\S]*method ia3[\s\S]*expected: lora or lora\+"
    runs = tmp_path / "runs"
    with pytest.raises(ConfigError, match=message):
        tuned(tmp_path / "lora", pairs, runs, "ia3", ia3=IA3Config())
    with pytest.raises(ConfigError, match=r"keeps the settings that it has[\s\S]*rank=4[\s\S]*rank=2"):
        tuned(tmp_path / "lora", pairs, runs, "lora", lora=LoRAConfig(rank=4, targets="all-linear"))
    with pytest.raises(ConfigError, match="full reads no settings of lora"):
        FinetuneConfig(model=tmp_path / "lora", data=pairs, lora=LoRAConfig(rank=4))
    base = trivium.load(gpt2)
    attach(base.network, "mine", TrainedTokensConfig(tokens=(1, 2)))
    save_adapter(tmp_path / "tokens", base.network, "mine", base=str(gpt2))
    with pytest.raises(Unsupported, match=r"of this kind is not trained further[\s\S]*trivium merge"):
        further(tmp_path / "tokens", pairs, runs)
    assert not runs.exists()
