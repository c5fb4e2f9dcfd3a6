"""`trivium align TASK`: what is said of each task, and what --dry-run foretells of each on a tiny model."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

import trivium
from tests.cli.tiny import write_model
from trivium.cli import arguments, recipe
from trivium.cli import main as cli
from trivium.cli.completion import script
from trivium.cli.flags import flags_of
from trivium.cli.verbs import VERBS
from trivium.recipes.align.dpo_config import LOSSES, DPOConfig

ALIGN = next(verb for verb in VERBS if verb.name == "align")
TASKS = [task.name.split()[-1] for task in ALIGN.tasks]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model, pairs of answers, sums with their results, and bare prompts."""
    folder = tmp_path_factory.mktemp("align")
    write_model(folder / "base")
    asked = [f"How are {number}?" for number in range(40)]
    pairs = [{"prompt": each, "chosen": "the fox", "rejected": "lazy"} for each in asked]
    sums = [{"prompt": each, "completion": str(number)} for number, each in enumerate(asked)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in pairs))
    (folder / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in sums))
    (folder / "prompts.txt").write_text("\n".join([*asked, "over the lazy dog " * 10]) + "\n")
    return folder


def needs(capsys: pytest.CaptureFixture[str], place: pathlib.Path, task: str, *words: str) -> dict[str, Any]:
    given = ["--model", str(place / "base"), "--prompt-format", "plain", "--output", str(place / "runs"), *words]
    assert cli.main(["align", task, *given, "--dry-run", "--json"]) == 0
    assert not (place / "runs").exists()
    return json.loads(capsys.readouterr().out)["needs"]


def test_help_lists_the_tasks_and_a_task_tells_its_settings(capsys):
    assert cli.main(["align", "--help"]) == 0
    said = capsys.readouterr().out
    assert TASKS == ["label", "reward", "dpo", "ppo", "grpo", "rloo", "reinforce", "constitution"]
    assert all(f"  {name} " in said for name in TASKS) and f"Example: {ALIGN.example}" in said
    assert cli.main(["align", "ppo", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "trivium align ppo [RECIPE.yaml]" in said and "--rollouts.answers" in said
    example = next(task.example for task in ALIGN.tasks if task.name == "align ppo")
    assert f"Example: {example}" in said


@pytest.mark.parametrize("task", ALIGN.tasks, ids=TASKS)
def test_an_example_names_settings_that_there_are(task):
    """Every flag of the example is one of the task's, and every flag that must be given is there."""
    flags = {flag.name: flag for flag in flags_of(task.settings[0])}
    named = [word for word in task.example.split() if word.startswith("--")]
    assert named and set(named) <= set(flags)
    assert {name for name, flag in flags.items() if flag.is_required} <= set(named)


@pytest.mark.parametrize("loss", ["ipo", "kto", "orpo", "simpo"])
def test_a_loss_is_a_task_by_its_name(monkeypatch, loss):
    """It is dpo with that objective, which what was said before it does not change."""
    run = []
    monkeypatch.setattr(recipe, "run", lambda verb, words, options: run.append(arguments.parse(DPOConfig, verb, words)))
    assert cli.main(["align", loss, "--model", "base", "--data", "pairs.jsonl", "--beta", "0.5"]) == 0
    assert (run[0].objective, run[0].beta) == (loss, 0.5)
    assert type(run[0].loss) is LOSSES[loss]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "align what?"),
        (["--model", "x"], "expected: one of label, reward, dpo"),
        (["rewrd"], "did you mean reward?"),
        (["dance"], "see `trivium align --help`"),
        (["ppo", "--rewrd", "x"], "did you mean --reward?"),
        (["dpo", "--reward", "x"], "trivium align dpo has no such setting"),
        (["grpo", "--model", "x", "--data", "y"], "trivium align grpo needs --reward"),
        (
            ["simpo", "--model", "x", "--data", "y", "--store-reference"],
            "the objective simpo has no reference to store",
        ),
        (["grpo", "--model", "x", "--data", "y", "--reward", "number", "--rollouts.answers", "1"], "2 answers or more"),
    ],
)
def test_each_slip_is_told_with_its_fix(capsys, words, said):
    assert cli.main(["align", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_slip_is_told_before_torch_is_loaded():
    code = (
        "import sys; from trivium.cli.main import main; code = main(['align', 'ppo', '--modl', 'x']);"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "did you mean --model?" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_the_tasks(shell):
    assert " ".join(TASKS) in script(shell)


def test_a_reward_model(capsys, place):
    found = needs(capsys, place, "reward", "--data", str(place / "pairs.jsonl"), "--context-tokens", "64")
    assert (found["loss"], found["method"]) == ("bradley-terry", "full")
    assert found["steps"] == 3  # one pass over the 35 prompts that are not held out, 16 a batch


def test_preferences(capsys, place):
    found = needs(
        capsys, place, "dpo", "--data", str(place / "pairs.jsonl"), "--context-tokens", "64", "--method", "lora"
    )
    assert (found["objective"], found["method"]) == ("dpo", "lora")
    assert 0 < found["trained_parameters"] < trivium.load(place / "base").network.head.weight.numel() * 5
    assert found["memory_mib"]["in_all_mib"] > 0


@pytest.mark.parametrize(
    ("task", "answers", "advantages"),
    [("ppo", 16, "gae"), ("grpo", 64, "group")],
)
def test_a_policy(capsys, place, task, answers, advantages):
    given = ["--data", str(place / "sums.jsonl"), "--reward", "number", "--max-new-tokens", "8"]
    found = needs(capsys, place, task, *given)
    assert (found["answers_a_step"], found["advantages"]) == (answers, advantages)
    passes = 4 if task == "ppo" else 1
    assert found["tokens_a_step"] == f"at most {8 * answers:,} written, each read {passes + 2} times"


def test_what_a_policy_would_refuse_is_refused(capsys, place):
    given = ["--model", str(place / "base"), "--data", str(place / "prompts.txt"), "--reward", "number"]
    assert cli.main(["align", "grpo", *given, "--dry-run"]) == 2
    assert "nothing to compare the answers with" in capsys.readouterr().err


def test_a_constitution(capsys, place):
    """Every count by hand, from the prompts that are left."""
    given = ["--prompts", str(place / "prompts.txt"), "--revising.answers", "2", "--revising.rounds", "3"]
    given += ["--revising.max-new-tokens", "20", "--revising.critique-tokens", "10", "--feedback.max-new-tokens", "30"]
    found = needs(capsys, place, "constitution", *given, "--feedback.pairs", "2", "--tags", "privacy", "lawful")
    asked, held_out, too_long = (int(part.split()[0]) for part in found["prompts"].split(", "))
    assert (asked + held_out, too_long) == (40, 1) and held_out > 0
    stages = found["stages"]
    assert list(stages) == ["answers", "revisions", "supervised", "pairs", "judgements", "preferred", "measured"]
    assert stages["answers"] == str(2 * asked)
    assert stages["revisions"].startswith(f"{2 * asked * 3} critiques")
    assert stages["pairs"] == f"{4 * asked} answers"
    assert stages["judgements"].startswith(f"{2 * asked * 2 * 2} questions: 2 principles a pair")
    assert stages["measured"] == f"{3 * held_out} answers of 3 models, {held_out * 2 * 2 * 2} questions"
    answers = 20 * (2 * asked + 3 * held_out) + 30 * 4 * asked
    assert found["written_tokens"] == f"at most {answers:,} in answers, {2 * asked * 3 * 30:,} by the critic"
    supervised = needs(capsys, place, "constitution", *given, "--feedback.pairs", "0")["stages"]
    assert list(supervised) == ["answers", "revisions", "supervised", "measured"]
    assert "of 2 models" in supervised["measured"]


def test_what_a_constitution_would_refuse_is_refused(capsys, place):
    given = ["align", "constitution", "--model", str(place / "base"), "--prompts", str(place / "prompts.txt")]
    assert cli.main([*given, "--constitution", "harmles", "--dry-run"]) == 2
    assert "did you mean harmless?" in capsys.readouterr().err
    assert cli.main([*given, "--critic", str(place / "nobody"), "--dry-run"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert cli.main([*given, "--dry-run"]) == 2  # no prompt leaves room for 256 tokens
    assert "no prompt is left to learn from" in capsys.readouterr().err
