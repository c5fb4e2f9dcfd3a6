"""`trivium plan`: what it foretells, and what it refuses."""

import functools
import json

import pytest
import torch

from tests.cli.tiny import write_model
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.cli import main as cli
from trivium.models.llama import Llama, LlamaConfig
from trivium.recipes.adapting import adapt
from trivium.recipes.plan import GIB, Room, method_settings
from trivium.recipes.plan_blocks import rehearsed
from trivium.recipes.plan_model import planned_model
from trivium.recipes.plan_steps import Step, rehearse_finetuning

GIVEN = ["--gflops", "100", "--memory-gib", "4"]


def planned(capsys, *words: str) -> dict:
    assert cli.main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_model_of_65_billion_on_48_gib():
    """Dettmers et al. 2023, abstract: QLoRA fine-tunes 65B on one GPU of 48 GB; 16-bit LoRA and full do not fit."""
    room = Room(limit=48 * GIB, process=int(0.6 * GIB), rate=None)  # on a CPU, where holes count as well
    step = Step(rows=1, context_tokens=256, dtype=torch.bfloat16)
    model, usual = planned_model("llama-65b"), method_settings("qlora", None)
    rehearse = functools.partial(rehearse_finetuning, method="qlora", settings=usual, step=step)
    found = rehearsed(model, torch.bfloat16, rehearse)
    assert room.taken(found) <= room.free < 2 * found.parameters  # in 16 bits the weights alone are too much
    # Embedding and output layer stay in 16 bits; a matrix has 4 a number, 8 for each 64 and 32 for each 256 of these.
    tables = 2 * 32_000 * 8192
    matrices = found.parameters - found.trained_parameters - tables
    packed = (0.5 + 1 / 64 + 4 / 64 / 256) * matrices + 2 * tables
    assert found.memory.weights == pytest.approx(packed, rel=0.001)


@pytest.mark.slow
def test_the_usual_methods_side_by_side(tmp_path, capsys):
    write_model(tmp_path / "model")
    words = ["finetune", "--model", str(tmp_path / "model"), "--rows", "2", "--context", "16", *GIVEN]
    found = planned(capsys, *words)
    needs = {row["method"]: row["memory_bytes"]["in_all"] for row in found["methods"]}
    assert list(needs)[:4] == ["full", "full, adamw8bit", "lora", "qlora"]
    assert "4 bytes a parameter and 20" in found["classic_account"] and "4,608" in found["lora_example"]
    assert all(row["fits"] and row["seconds"] >= 0 for row in found["methods"])
    assert "wider than the model" in found["left_out"]["houlsby"]


def test_one_method_part_by_part(tmp_path, capsys):
    write_model(tmp_path / "model")
    words = ["finetune", "--model", str(tmp_path / "model"), "--method", "lora", "--rank", "2", "--context", "16"]
    assert cli.main(["plan", *words, *GIVEN]) == 0
    said = capsys.readouterr().out
    assert "lora: it fits" in said and "activations" in said and "rows that fit" in said
    assert "holes" in said and "MiB" in said and " 0.000 GiB" not in said


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
def test_the_encoder_of_a_prompt_is_planned(encoder):
    """An LSTM, whose parameters PyTorch holds weakly: it is made without numbers from the start."""
    config = LlamaConfig(vocabulary_size=60, width=32, layers=1, heads=2, inner_width=32, context_tokens=64)
    with torch.device("meta"):
        network = Llama(config)
    settings = PTuningConfig(tokens=4, encoder=encoder, hidden_width=8)
    found = rehearse_finetuning(network, "p-tuning", settings, Step(rows=2, context_tokens=16))
    real = Llama(config)
    adapt(real, "p-tuning", settings)
    assert found.trained_parameters == sum(p.numel() for p in real.parameters() if p.requires_grad)
    assert found.memory.adapters == 4 * found.trained_parameters


def test_pretraining_and_generation(tmp_path, capsys):
    write_model(tmp_path / "model")
    model = ["--model", str(tmp_path / "model"), "--context", "16", "--rows", "2", *GIVEN]
    found = planned(capsys, "pretrain", *model)
    assert found["fits"] and found["trained_parameters"] == found["parameters"]
    found = planned(capsys, "generate", *model, "--max-new-tokens", "16")
    assert found["fits"] and found["memory_bytes"]["in_all"] > 0 and found["trained_parameters"] == 0


@pytest.mark.slow
def test_a_table_of_positions_is_neither_left_nor_foretold_beyond(capsys):
    given = ["--rows", "1", "--gflops", "100", "--memory-gib", "64"]
    found = planned(capsys, "pretrain", "--model", "gpt2", "--context", "1024", *given)
    assert found["fits"] and found["longest_context"] == 1024
    assert found["device_memory_gib"] == 64 and found["memory_bytes"]["in_all"] < 64 * GIB


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "plan what?"),
        (["finetun"], "did you mean finetune?"),
        (["finetune"], "needs --model"),
        (["finetune", "--model", "llama-66b"], "did you mean llama-65b?"),
        (["finetune", "--model", "llama-7b", "--memory-gib", "0"], "memory_gib must be"),
        (["finetune", "--model", "llama-7b", "--method", "prefix", "--rank", "4", *GIVEN], "has no rank"),
        (["generate", "--model", "llama-7b", "--context", "0"], "context must be at least 1"),
        (["pretrain", "--model", "kim", *GIVEN], "a language model is trained on a text"),
    ],
)
def test_each_slip_is_told_with_its_fix(capsys, words, said):
    assert cli.main(["plan", *words]) == 2
    assert said in capsys.readouterr().err


def test_help_lists_the_works(capsys):
    assert cli.main(["plan", "--help"]) == 0
    said = capsys.readouterr().out
    assert "finetune" in said and "pretrain" in said and "generate" in said
