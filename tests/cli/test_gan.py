"""`trivium pretrain gan` on the command line: beside `trivium pretrain`, which is what it was."""

import json
import pathlib
import subprocess
import sys

import pytest

from trivium.cli import main as cli
from trivium.data.grammar import ARITHMETIC
from trivium.recipes.gan_config import GANConfig
from trivium.recipes.gan_game import build_discriminator, build_generator
from trivium.recipes.gan_ways import WAYS

TINY = ["--networks.width", "8", "--networks.filters", "0.005", "--rows", "4", "--steps", "2", "--device", "cpu"]
PHASES = ["--phases.likelihood-steps", "2", "--phases.discriminator-steps", "1", "--turns.discriminator-updates", "1"]
MEASURED = ["--frontier.texts", "4", "--frontier.draws", "2", "--frontier.temperatures", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("texts") / "sums.txt"
    path.write_text("\n".join(ARITHMETIC.sentences(40, longest=7, seed=3)) + "\n")
    return path


def test_help_tells_of_both(capsys):
    assert cli.main(["pretrain", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Example: trivium pretrain --data prepared" in said and "Beside it: trivium pretrain gan" in said
    for words in (["pretrain", "gan", "--help"], ["help", "pretrain", "gan"]):
        assert cli.main(words) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "Example: trivium pretrain gan --method relgan --data captions.txt" in said
        assert "--settings.seqgan.rollouts" in said and all(method in said for method in WAYS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "relgam", "--data", "t.txt"], "did you mean relgan?"),
        (["--dta", "t.txt"], "did you mean --data?"),
        (["--method", "relgan"], "trivium pretrain gan needs --data"),
        (["--data", "t.txt", "--dtype", "bfloat16"], "a game is played in float32"),
        (["--data", "nowhere.txt"], "there is no such file or folder"),
        (["--data", "t.txt", "--settings.relgan.largest-beta", "3", "--method", "seqgan"], "settings of relgan"),
        (["--data", "t.txt", "--frontier.temperatures", "0.5"], "1 among them"),
    ],
)
def test_each_slip_is_told_with_its_fix(capsys, words, said):
    assert cli.main(["pretrain", "gan", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_slip_is_told_before_torch_is_loaded():
    code = (
        "import sys; from trivium.cli.main import main; code = main(['pretrain', 'gan', '--metod', 'x']);"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "did you mean --method?" in done.stderr


@pytest.mark.parametrize("method", ["leakgan", "relgan"])
def test_what_is_foretold_is_what_is_built(capsys, data, tmp_path, method):
    words = ["--data", str(data), "--method", method, "--output", str(tmp_path / "runs"), "--rows", "10"]
    assert cli.main(["pretrain", "gan", *words, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["needs"]
    assert not (tmp_path / "runs").exists()
    config = GANConfig(data=data, method=method, rows=10)  # pyright: ignore[reportArgumentType]
    generator = build_generator(config, found["vocabulary"], found["longest"])
    discriminator = build_discriminator(config, generator, found["vocabulary"], found["longest"])
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        parameters = sum(parameter.numel() for parameter in network.parameters())
        assert found[name].endswith(f"{parameters:,} parameters")
    assert (found["steps"], found["discriminator_steps"]) == (WAYS[method].steps, WAYS[method].discriminator_steps)  # pyright: ignore[reportArgumentType]
    assert found["texts_a_step"].startswith("50 real ones")
    assert found["data"].startswith("37 texts to learn from") and found["likelihood_steps"] == 20 * 37 // 10


def test_a_run_and_what_it_writes(capsys, data, tmp_path):
    words = ["--data", str(data), "--method", "maligan", "--output", str(tmp_path)]
    assert cli.main(["pretrain", "gan", *words, *TINY, *PHASES, *MEASURED, "--json"]) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert (facts["run"], facts["step"]) == (str(tmp_path / "gan"), 2)
    assert "Another seed of training may say otherwise." in said.err and "nats a token" in said.err
    assert cli.main(["generate", facts["run"], "--prompt", "", "--max-new-tokens", "5", "--seed", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["settings"]["temperature"] == 1.0 and len(answer["token_ids"]) <= 5
