"""The verbs that run a recipe: what the recipe receives, and what is said of what it returns."""

import dataclasses
import json
import pathlib
import types

import pytest

from trivium.cli import main as cli
from trivium.cli import recipe
from trivium.errors import ConfigError, Interrupted
from trivium.training.run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Trains."""

    data: pathlib.Path
    """Prepared text."""
    steps: int = 10
    """Updates."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Measures."""

    model: str
    """A model."""
    count: int = 1
    """How often."""


@pytest.fixture
def recipes(monkeypatch):
    """Puts these recipes in the place of the real ones; remembers what they were asked."""
    asked = []

    def install(result) -> list:
        def work(config):
            asked.append(config)
            if isinstance(result, BaseException):
                raise result
            return result

        def needs(config):
            return {"steps": config.steps, "memory_mib": {"weights_mib": 1.5, "cache_mib": 0.5}}

        module = types.SimpleNamespace(
            PretrainConfig=PretrainConfig,
            pretrain=work,
            EvaluateConfig=EvaluateConfig,
            evaluate=work,
            pretraining=needs,
        )
        monkeypatch.setattr(
            recipe.importlib, "import_module", lambda name: recipe if name == "trivium.cli.recipe" else module
        )
        return asked

    return install


def test_a_recipe_receives_yaml_and_flags(recipes, tmp_path, capsys):
    asked = recipes({"done": True})
    file = tmp_path / "recipe.yaml"
    file.write_text("data: shards\nsteps: 3\n")
    assert cli.main(["pretrain", str(file), "--steps", "5"]) == 0
    assert asked == [PretrainConfig(data=pathlib.Path("shards"), steps=5)]
    assert "done: True" in capsys.readouterr().out


def test_a_dry_run_says_the_settings_and_what_they_need(recipes, capsys):
    asked = recipes({})
    assert cli.main(["pretrain", "--data", "shards", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("data: shards\nsteps: 10\n\nwhat it will need\n")
    assert "  steps   10\n" in captured.out
    assert "  memory  weights: 1.5 MiB\n          cache: 512.0 KiB\n" in captured.out
    assert "nothing was done" in captured.err
    assert cli.main(["pretrain", "--data", "shards", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["steps"] == 10 and said["needs"]["memory_mib"] == {"weights_mib": 1.5, "cache_mib": 0.5}
    assert asked == []


def test_the_model_of_a_using_verb_leads(recipes, capsys):
    asked = recipes({"task": "text", "metrics": {"bits_per_byte": 1.23456}, "count": 7})
    assert cli.main(["evaluate", "runs/x", "--json"]) == 0
    assert asked == [EvaluateConfig(model="runs/x")]
    assert json.loads(capsys.readouterr().out)["metrics"] == {"bits_per_byte": 1.23456}
    assert cli.main(["evaluate", "runs/x"]) == 0
    assert "metrics: bits_per_byte 1.235" in capsys.readouterr().out


def test_a_run_is_told_with_its_last_figures(recipes, tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.5}\n')
    recipes(Run(tmp_path))
    assert cli.main(["pretrain", "--data", "shards", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": str(tmp_path), "step": 2, "loss": 2.5}


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Interrupted("saved at step 7; go on with --resume", signal_number=15), 143, "saved at step 7"),
        (ConfigError("the corpus is smaller than one window", fix="set --context-tokens 64"), 2, "--context-tokens 64"),
    ],
)
def test_what_a_recipe_raises_becomes_the_exit_code(recipes, capsys, error, code, said):
    recipes(error)
    assert cli.main(["pretrain", "--data", "shards"]) == code
    assert said in capsys.readouterr().err
