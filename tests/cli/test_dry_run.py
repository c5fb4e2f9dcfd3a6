"""What --dry-run foretells, beside what really comes."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest
import torch

from tests.cli.tiny import write_model
from tests.recipes.texts import write_notes, write_pairs
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.checkpoints.adapter_folder import save_adapter
from trivium.cli import main as cli
from trivium.cli.dry_run import network, training
from trivium.data.prepared import open_prepared
from trivium.lm.load import load
from trivium.models import architecture
from trivium.recipes.language_model import ModelConfig, build_model, special_ids
from trivium.recipes.objectives import ObjectiveConfig, decided, restoring
from trivium.recipes.prepare import PrepareConfig, prepare
from trivium.recipes.pretrain import BatchConfig, PretrainConfig
from trivium.recipes.training import TrainingConfig
from trivium.runtime.processes import Place
from trivium.training.optimisers import OptimiserConfig, build_optimisers


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_notes(tmp_path_factory.mktemp("text") / "notes")


@pytest.fixture(scope="module")
def masked_data(notes: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("masks") / "data"
    prepare(PrepareConfig(sources=(str(notes),), output=folder, vocabulary_size=400, masks=True), silent=True)
    return folder


def needs(capsys, *words: str) -> dict:
    assert cli.main([*words, "--dry-run", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["needs"]


def test_the_sources_of_prepare(notes, capsys):
    size = sum(file.stat().st_size for file in notes.iterdir())
    found = needs(capsys, "prepare", str(notes), "embedded:python")
    assert (found["files"], found["bytes"]) == (30, size)
    assert found["sources"][str(notes)] == f"30 files, {size:,} bytes"
    assert "known when it is gathered" in found["sources"]["embedded:python"]
    assert cli.main(["prepare", "nowhere", "--dry-run"]) == 2


SMALL = ["--model.width", "32", "--model.layers", "2", "--batch.rows", "4", "--batch.context-tokens", "16"]


def test_pretraining_on_what_is_gathered_on_this_machine(tmp_path, capsys):
    for source in ("code:python", "embedded"):
        found = needs(capsys, "pretrain", "--data", source, "--output", str(tmp_path / "runs"), *SMALL, "--steps", "5")
        assert "known when it is gathered" in found["data"]["size"]


def test_pretraining_on_prepared_text(notes, tmp_path, capsys):
    prepare(PrepareConfig(sources=(str(notes),), output=tmp_path / "data", vocabulary_size=300), silent=True)
    words = ["pretrain", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "runs"), *SMALL, "--steps", "5"]
    # As the run itself would be.
    assert cli.main([*words, "--schedule.warmup-steps", "5", "--dry-run"]) == 2
    assert "the warm-up is as long as the run" in capsys.readouterr().err
    found = needs(capsys, *words)
    assert not (tmp_path / "runs").exists()
    assert (found["steps"], found["tokens"]) == (5, 5 * 64)
    assert found["time_seconds"] >= 0 and found["passes_over_the_data"] > 0
    memory = found["memory_mib"]
    parts = [memory[f"{name}_mib"] for name in ("weights", "gradients", "optimiser", "activations")]
    assert memory["in_all_mib"] == pytest.approx(sum(parts), abs=0.3)
    assert cli.main(words) == 0
    capsys.readouterr()
    assert found["parameters"] == network.count(load(tmp_path / "runs" / "pretrain").network)
    assert cli.main([*words, "--dry-run"]) == 2  # as the run itself would be: there is one of this name
    assert "there is a run in this folder already" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["adamw", "muon", "sgd"])
@pytest.mark.parametrize("name", ["llama", "bilm"])
def test_moments_are_those_that_are_kept(name, kind):
    model = build_model(ModelConfig(architecture=name, width=32, layers=2), 50, 16)
    config = OptimiserConfig(kind=kind)
    optimisers = build_optimisers(model, config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimisers.step()
    kept = [tensor for tensor in optimisers.state_tensors().values() if tensor.ndim]
    assert network.moments(model, config) == sum(tensor.numel() for tensor in kept)


@pytest.mark.parametrize("average", [{"ema_decay": 0.99}, {"non_monotone_evaluations": 0}])
def test_an_average_of_the_weights_is_one_copy_more(average):
    plain = PretrainConfig(data=pathlib.Path("notes"), model=ModelConfig(width=64))
    model = build_model(plain.model, 100, 64)
    averaging = dataclasses.replace(plain, training=TrainingConfig(**average))
    memory = training.memory_facts(averaging, model, 64)
    assert memory["averaged_weights_mib"] == memory["weights_mib"] > 0
    assert memory["in_all_mib"] - training.memory_facts(plain, model, 64)["in_all_mib"] == pytest.approx(
        memory["weights_mib"], abs=0.2
    )


def kept_mib(model: torch.nn.Module, compute: Callable[[], object]) -> float:
    """What a forward pass keeps for the backward pass, beside the parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()  # held until what it keeps is counted
    assert result is not None and kept
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own) / 2**20


@pytest.mark.parametrize("name", ["llama", "gpt2", "lstm"])
def test_activations_are_about_those_that_are_kept(name):
    """Beside what the forward pass really keeps for the backward pass."""
    config = PretrainConfig(
        data=pathlib.Path("notes"),
        model=ModelConfig(architecture=name, width=64, layers=3),
        batch=BatchConfig(rows=2, context_tokens=64),
    )
    model = build_model(config.model, 100, 64)
    size = kept_mib(model, lambda: model(torch.randint(100, (2, 64))))
    foretold = training.memory_facts(config, model, 2 * 64)["activations_mib"]
    assert foretold == pytest.approx(size, rel=0.35)


RESTORING = [
    ("bert", "masked"),
    ("modernbert", "masked"),
    ("electra", "replaced"),
    ("xlnet", "permutation"),
    ("transformer", "span_corruption"),
    ("t5", "ul2"),
    ("t5", "prefix"),
    ("bart", "denoising"),
    ("glm", "blank_infilling"),
    ("llama", "fill_in_the_middle"),
    ("gpt2", "prefix"),
]


@pytest.mark.parametrize(("name", "kind"), RESTORING)
def test_what_restoring_a_text_needs(masked_data, tmp_path, capsys, name, kind):
    """Parameters, texts and memory, beside what the model really has and its forward pass keeps."""
    words = [
        "pretrain",
        "--data",
        str(masked_data),
        "--output",
        str(tmp_path),
        "--steps",
        "5",
        "--objective.kind",
        kind,
    ]
    shape = ["--model.architecture", name, "--model.width", "64", "--batch.rows", "2", "--batch.context-tokens", "64"]
    found = needs(capsys, *words, *shape, "--steps", "5")
    assert found["objective"] == kind and found["tokens"] == 5 * 2 * 64
    config = ModelConfig(architecture=name, width=64)
    prepared = open_prepared(masked_data)
    ids = special_ids(config, prepared.tokenizer)
    model = build_model(config, prepared.tokenizer.vocabulary_size, 64, ids=ids)
    assert found["parameters"] == network.count(model)
    objective = decided(ObjectiveConfig(kind=kind), architecture(name))
    task = restoring(
        objective,
        prepared.tokenizer,
        train=prepared.train,
        context_tokens=64,
        rows=2,
        seed=0,
        start_id=ids["start_id"],
    )
    passes = 5 * 2 * task.window_tokens / prepared.train.num_tokens
    assert found["passes_over_the_data"] == pytest.approx(passes, abs=0.01)
    kept = kept_mib(model, lambda: task.loss(model, next(task.source(prepared.train, Place()))))
    assert kept / 2 < found["memory_mib"]["activations_mib"] < kept * 2


def test_text_for_masks_is_foretold_with_a_vocabulary_that_has_them(notes, masked_data, tmp_path, capsys):
    words = ["pretrain", "--output", str(tmp_path), "--model.architecture", "roberta", *SMALL]
    found = needs(capsys, *words, "--data", str(notes), "--vocabulary.size", "400")
    real = needs(capsys, *words, "--data", str(masked_data))
    assert found["parameters"] == real["parameters"]
    # As the run itself would be.
    assert cli.main([*words, "--data", str(notes), "--vocabulary.kind", "character", "--dry-run"]) == 2
    assert "masks are for a vocabulary of pieces" in capsys.readouterr().err
    prepare(PrepareConfig(sources=(str(notes),), output=tmp_path / "plain", vocabulary_size=300), silent=True)
    assert cli.main([*words, "--data", str(tmp_path / "plain"), "--dry-run"]) == 2
    assert "prepare the text again with --masks" in capsys.readouterr().err


def test_minutes_become_steps(notes, tmp_path, capsys):
    words = ["pretrain", "--data", str(notes), "--output", str(tmp_path), "--vocabulary.size", "300", *SMALL]
    one, two = needs(capsys, *words, "--minutes", "1"), needs(capsys, *words, "--minutes", "10")
    assert one["steps"] < two["steps"]
    assert one["data"]["files"] == 30 and "with a vocabulary of its own" in one["data"]["prepared"]


def test_finetuning(tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    model = write_model(tmp_path / "model")
    words = ["finetune", "--model", model, "--data", str(pairs), "--output", str(tmp_path / "runs")]
    small = ("--context-tokens", "64", "--rows", "2")
    found = needs(capsys, *words, *small)
    assert found["model"] == "llama, 4,176 parameters"
    assert found["trained_parameters"] == 4176 and found["learning_rate"] == 1e-3
    assert found["steps"] >= 2 and found["passes_over_the_data"] == pytest.approx(3, abs=0.2)
    assert cli.main([*words[:2], "nowhere", *words[3:], "--dry-run"]) == 2
    # A folder before the flags is the model; an adapter of it trains and takes less.
    lora = needs(capsys, "finetune", model, *words[3:], *small, "--method", "lora", "--lora.rank", "2")
    assert 0 < lora["trained_parameters"] < 2000 and lora["learning_rate"] == 1e-2
    assert lora["memory_mib"]["in_all_mib"] <= found["memory_mib"]["in_all_mib"]
    opened = load(model)
    attach(opened.network, "mine", LoRAConfig(rank=2, targets="all-linear"))
    save_adapter(tmp_path / "adapter", opened.network, "mine", base=model)
    further = needs(capsys, "finetune", str(tmp_path / "adapter"), *words[3:], *small)
    assert further["method"] == "that of the adapter" and further["steps"] == found["steps"]


def test_evaluating_and_quickstart(notes, tmp_path, capsys):
    model = write_model(tmp_path / "model")
    found = needs(capsys, "evaluate", model, "--data", str(notes))
    assert found["data"] == {"files": 30, "bytes": sum(file.stat().st_size for file in notes.iterdir())}
    found = needs(capsys, "evaluate", model, "--task", "cola", "--data", str(notes))
    assert found["task"] == "cola" and found["data"]["files"] == 30
    assert cli.main(["evaluate", model, "--task", "cola", "--data", "nowhere", "--dry-run"]) == 2
    found = needs(capsys, "quickstart", "--minutes", "2", "--data", str(notes))
    assert found["time_seconds"] == 120 and found["parameters"] > 0


def test_an_old_folder_says_in_its_configuration_how_it_writes(tmp_path, capsys):
    model = write_model(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    (tmp_path / "model" / "generation_config.json").unlink(missing_ok=True)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_beams": 4}))
    assert "the best of 4 beams" in str(needs(capsys, "generate", model, "--prompt", "a")["choosing"])


@pytest.mark.parametrize("name", ["gpt2", "lstm", "t5"])
def test_what_a_token_takes(name):
    """Keys and values of every layer for each token; a recurrent state is of one size."""
    row = architecture(name)
    from tests.lm.small import network as small

    model = small(name, 50)
    one, two = network.state_bytes(model, 1), network.state_bytes(model, 2)
    sizes = {"gpt2": 2 * 2 * 24 * 8, "lstm": 0, "t5": 2 * 2 * 24 * 8}
    assert row.name == name and two - one == sizes[name]
