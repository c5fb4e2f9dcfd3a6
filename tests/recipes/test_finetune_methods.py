"""Every method of fine-tuning through the recipe: what it trains, what its run publishes, what is refused."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import trivium
from tests.recipes.texts import write_pairs, write_tasks
from tests.recipes.tuning import said, tuned
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.selective import SelectiveConfig
from trivium.checkpoints.tensors import TensorFile
from trivium.errors import ConfigError, DataError, Unsupported
from trivium.lm.trace import trace
from trivium.recipes.finetune_config import FinetuneConfig
from trivium.recipes.forgetting import ForgettingConfig
from trivium.recipes.method_config import WAYS, MethodName
from trivium.recipes.mixing import MixingConfig
from trivium.recipes.rehearsal import RehearsalConfig
from trivium.recipes.retention import RetentionConfig
from trivium.recipes.training import TrainingConfig
from trivium.training.private_gradients import PrivacyConfig
from trivium.training.schedules import ScheduleConfig

ADAPTERS = [name for name, way in WAYS.items() if way.part is None]
SELECTIVE = [name for name, way in WAYS.items() if way.part is not None]


@pytest.mark.parametrize("method", ADAPTERS)
def test_a_run_of_an_adapter_publishes_the_adapter(
    method: MethodName, gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    """... which opens with its base, learns, and says what it is; the base is nowhere in the checkpoint."""
    run = tuned(gpt2, pairs, tmp_path, method)
    rows = run.metrics()
    assert rows[-1]["validation_loss"] is not None and rows[-1]["skipped"] == 0
    folder = run.checkpoints / "last"
    assert not (folder / "config.json").exists() and not (folder / "model.safetensors").exists()
    told = said(run)
    assert told["method"] == method and told["parent"] == str(gpt2)
    model = trivium.load(run.folder)
    trained = sum(p.numel() for p in model.network.parameters() if p.requires_grad)
    assert 0 < trained < 0.5 * told["parameters"] and 0 < told["trained_parameters"] < 0.5 * told["parameters"]
    assert len(model.generate("word 3", max_new_tokens=4)[0].token_ids) > 0
    card = (folder / "README.md").read_text()
    assert f"- method: {method}" in card and "peak memory mib" in card and "% " in card.replace("%)", "% ")
    saved = TensorFile(folder / "resume" / "learner.safetensors").names
    learnt = [name for name in saved if name.startswith("learner/model/")]
    assert learnt and all("updates" in name or "prompts" in name for name in learnt)
    assert "What was trained" in run.report.read_text()
    assert trace(run.folder).state == "verified"


@pytest.mark.parametrize("method", SELECTIVE)
def test_a_run_of_a_part_publishes_a_whole_model_and_changes_that_part_alone(
    method: MethodName, gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    run = tuned(gpt2, pairs, tmp_path, method)
    before, after = trivium.load(gpt2).network.state_dict(), trivium.load(run.folder).network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected: dict[str, Callable[[str], bool]] = {
        "full": lambda name: True,
        "lisa": lambda name: True,
        "last-k": lambda name: name.startswith(("blocks.1.", "norm.")),
        "layers": lambda name: ".attention." in name or name.startswith("blocks.1.feedforward"),
        "bitfit": lambda name: name.endswith(".bias"),
        "norms": lambda name: "norm" in name,
        "embeddings": lambda name: "embedding" in name or name == "head.weight",
    }
    assert changed <= {name for name in before if expected[method](name)}
    assert len(changed) >= 0.7 * sum(map(expected[method], before))
    told = said(run)
    share = told["trained_parameters"] / told["parameters"]
    assert share == 1 if method in ("full", "lisa") else 0 < share < 0.7
    saved = TensorFile(run.checkpoints / "last" / "resume" / "learner.safetensors").names
    learnt = {name.removeprefix("learner/model/") for name in saved if name.startswith("learner/model/")}
    assert changed <= learnt | {"head.weight"}
    assert method in ("full", "lisa") or len(learnt) < len(before)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("full", {"lora": LoRAConfig(rank=4)}, r"full reads no settings of lora[\s\S]*rank 4[\s\S]*qlora"),
        ("lora", {"selective": SelectiveConfig(blocks=1)}, "lora reads no settings of selective"),
        ("full", {"selective": SelectiveConfig(patterns=("head",))}, "trains what patterns name"),
        ("layers", {"selective": SelectiveConfig()}, "trains what patterns name"),
        ("bitfit", {"selective": SelectiveConfig(blocks=1)}, "only the method last-k"),
    ],
)
def test_settings_that_a_method_does_not_read_are_refused(method: MethodName, settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(model=pathlib.Path("a"), data=pathlib.Path("b"), method=method, **settings)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("lora", {"lora": LoRAConfig(targets=("query",))}, "'query' matches no"),
        ("lora", {"lora": LoRAConfig(rank=65, targets="all-linear")}, "rank is larger"),
        ("layers", {"selective": SelectiveConfig(patterns=("attn",))}, r"'attn' matches no[\s\S]*blocks.N.attention"),
        ("prefix", {"prefix": PrefixConfig(tokens=33)}, "cannot read rows of this length"),
    ],
)
def test_what_the_model_cannot_have_is_refused_and_leaves_no_run(
    method: MethodName,
    settings: dict[str, Any],
    message: str,
    gpt2: pathlib.Path,
    pairs: pathlib.Path,
    tmp_path: pathlib.Path,
):
    with pytest.raises((ConfigError, DataError), match=message):
        tuned(gpt2, pairs, tmp_path, method, **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", [*SELECTIVE, "lora", "prefix"])
def test_what_trains_only_some_of_a_model_is_not_sharded(
    method: MethodName, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """Gradual unfreezing among it, which is full fine-tuning that does not begin with all; before any work."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    settings = {"selective": SelectiveConfig(unfreeze_every_steps=2)} if method == "full" else {}
    missing = tmp_path / "missing"
    sharded = TrainingConfig(several_processes="shard")
    with pytest.raises(Unsupported, match=rf"only some is trained is not sharded[\s\S]*method {re.escape(method)}"):
        tuned(missing, missing, tmp_path, method, training=sharded, **settings)
    assert not list(tmp_path.iterdir())


def test_the_rate_is_that_of_the_method_unless_one_is_given(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path
):
    flat = ScheduleConfig(kind="constant", warmup_steps=0)
    run = tuned(gpt2, pairs, tmp_path, "lora", run="usual", steps=1, schedule=flat)
    assert run.config["optimiser"]["learning_rate"] == run.metrics()[-1]["learning_rate"] == pytest.approx(0.01)
    config = FinetuneConfig(model=gpt2, data=pairs)
    given = dataclasses.replace(config.optimiser, learning_rate=3e-4)
    run = tuned(gpt2, pairs, tmp_path, "lora", run="given", steps=1, schedule=flat, optimiser=given)
    assert run.metrics()[-1]["learning_rate"] == pytest.approx(3e-4)


def test_what_was_forgotten_is_measured(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path):
    """On the model as it was and as it is published, whichever method: both stand in the run's folder."""
    text = tmp_path / "text.txt"
    text.write_text("the word follows the model. " * 40)
    measured = ForgettingConfig(text=text, tasks=(pairs,), examples=2)
    run = tuned(gpt2, pairs, tmp_path / "runs", "lora", steps=10, forgetting=measured)
    told = json.loads((run.folder / "forgetting.json").read_text())
    loss = told["tasks"]["pairs"]["loss"]
    assert loss["after"] < loss["before"] and told["text"]["bits_per_byte"]["before"] > 0


def test_what_is_mixed_rehearsed_and_held_is_trained_with(
    gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    """... and how often each was read is told."""
    old = write_pairs(tmp_path / "old.jsonl", 20)
    held = {"rehearsal": RehearsalConfig(share=0.5, data=(old,)), "retention": RetentionConfig(kept_close=0.1)}
    data = write_tasks(tmp_path / "tasks.jsonl", pairs)
    plain = tuned(gpt2, pairs, tmp_path, "lora", run="plain")
    assert "passes" not in capsys.readouterr().err
    mixed = tuned(gpt2, data, tmp_path, "lora", run="mixed", mixing=MixingConfig(temperature=3.0), **held)
    losses = [run.metrics()[-1]["loss"] for run in (plain, mixed)]
    assert losses[0] != losses[1]
    assert mixed.config["rehearsal"]["share"] == 0.5 and mixed.config["mixing"]["temperature"] == 3
    assert re.search(r"passes (small|large) [\d.]+; (small|large) [\d.]+; rehearsed [\d.]+", capsys.readouterr().err)
    assert "rehearsed 0." in mixed.report.read_text()


def test_private_training_says_what_it_spent(gpt2: pathlib.Path, pairs: pathlib.Path, tmp_path: pathlib.Path):
    run = tuned(gpt2, pairs, tmp_path, "lora", privacy=PrivacyConfig(epsilon=8.0))
    told = json.loads((run.folder / "privacy.json").read_text())
    assert 0 < told["epsilon"] <= 8 and told["steps"] == 4
    assert "epsilon" in run.report.read_text()
    both = {"privacy": PrivacyConfig(epsilon=8.0), "rehearsal": RehearsalConfig(share=0.5)}
    with pytest.raises(ConfigError, match="counted among the examples"):
        tuned(gpt2, pairs, tmp_path, "lora", run="both", **both)
    both = {"privacy": PrivacyConfig(epsilon=8.0), "mixing": MixingConfig(balance="label")}
    with pytest.raises(ConfigError, match="reads every example equally often"):
        tuned(gpt2, pairs, tmp_path, "lora", run="both", **both)
