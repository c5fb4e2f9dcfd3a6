"""The command line as a person has it: on a pseudo-terminal, with slips of the pen, Ctrl-C and a change of mind."""

import json
import shutil
import time
from collections.abc import Iterator

import pytest

from tests.cli.shell import Shell, plain
from tests.cli.tiny import write_model
from tests.recipes.texts import write_notes
from trivium.cli.verbs import VERBS

COLOUR, CLEAR = "\x1b[36m", "\x1b[0m"


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    with Shell() as opened:
        yield opened


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model") / "tiny", context_tokens=4096)


def test_help_names_the_verbs_in_the_order_of_the_path(shell):
    said, code = shell.run("--help")
    assert code == 0
    places = [said.index(f"\n  {verb.name} ") for verb in VERBS]
    assert places == sorted(places)
    learning = "quickstart prepare tokenize filters plan pretrain extend finetune merge train"
    using = "align predict evaluate understand generate chat models doctor"
    assert [verb.name for verb in VERBS] == [*learning.split(), *using.split()]


@pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
def test_help_of_a_verb(shell, verb):
    said, code = shell.run(f"{verb.name} --help")
    text = plain(said)
    assert code == 0
    assert f"Example: {verb.example}" in text and "--help" in text
    assert "Traceback" not in text
    wide = [line for line in text.splitlines() if len(line) > 100]  # the width of this terminal
    assert [line for line in wide if not line.startswith("Example: ")] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("genrate m", "did you mean `trivium generate`?"),
        ("pretrain --data x --stps 3", "did you mean --steps?"),
        ("pretrain --data x --batch.reading windws", "did you mean windows?"),
        ("pretrain --data x --steps many", "expected: a whole number, or None"),
        ("pretrain", "trivium pretrain needs --data"),
        ("evaluate x --data y --run z", "a run is what training makes"),
        ("generate nowhere --prompt a", "there is no such folder"),
        ("generate docs --prompt a", "there is no model in this folder"),
        ("generate README.md --prompt a", "a model is a folder, and this is a file"),
        ("generate MODEL", "there is nothing to continue"),
        ("generate MODEL --prompt a --temperature -1", "the temperature cannot be used"),
        ("generate MODEL --prompt a --output /proc/x/y", "check the path"),
        ("generate MODEL --prompt a --output docs", "give a file, not a folder"),
        ("chat MODEL --json", "use: trivium generate MODEL"),
        ("--completion tcsh", "expected: bash, zsh or fish"),
    ],
)
def test_a_mistake_is_one_error_with_its_fix(shell, model, line, expected):
    said, code = shell.run(line.replace("MODEL", model))
    assert code == 2
    assert expected in plain(said)
    assert said.count("error:") == 1 and "Traceback" not in said


def test_generate_streams_in_colour(shell, model):
    line = f"generate {model} --prompt 'the ' --max-new-tokens 12 --temperature 1 --seed 3"
    said, code = shell.run(line)
    assert code == 0
    assert said.startswith("\x1b[2mthe \x1b[0m") and said.count(COLOUR) > 3
    bare, code = shell.run(f"NO_COLOR=1 {line}")
    assert code == 0 and "\x1b" not in bare
    assert bare == plain(said).replace("\n", "\r\n")


def test_generate_shows_probabilities_in_colour(shell, model):
    said, code = shell.run(f"generate {model} --prompt 'the ' --max-new-tokens 5 --show-probabilities")
    assert code == 0
    assert "\x1b[31m" in said  # an untrained model finds nothing likely
    assert plain(said).count("instead:") == 5 and "5 tokens, each chosen among" in plain(said)


def test_a_model_that_asks_for_beams_is_not_streamed(shell, model, tmp_path):
    searching = shutil.copytree(model, tmp_path / "searching")
    (searching / "generation_config.json").write_text('{"num_beams": 3, "eos_token_id": 1}')
    (searching / "manifest.json").unlink()
    said, code = shell.run(f"generate {searching} --prompt 'the ' --max-new-tokens 5")
    assert code == 0 and COLOUR not in said
    said, code = shell.run(f"generate {searching} --prompt 'the ' --max-new-tokens 5 --show-probabilities")
    assert code == 0 and "instead:" in plain(said)


def test_json_goes_to_a_pipe_without_a_colour(shell, model, tmp_path):
    out = tmp_path / "out.json"
    said, code = shell.run(f"generate {model} --prompt 'the ' --max-new-tokens 5 --json > {out}")
    assert code == 0 and "\x1b" not in said
    text = out.read_text()
    assert "\x1b" not in text and len(json.loads(text)["token_ids"]) == 5
    said, code = shell.run(f"models > {out}")
    assert code == 0 and "\x1b" not in out.read_text()


def test_an_answer_is_stopped_by_ctrl_c(shell, model):
    shell.type(f"generate {model} --prompt 'the ' --max-new-tokens 4000")
    shell.see(COLOUR)
    shell.interrupt()
    said, code = shell.end()
    assert code == 130
    assert "stopped at once, as asked" in said and "Traceback" not in said


def test_a_chat(shell, model, tmp_path):
    talk = tmp_path / "talk.jsonl"
    shell.type(f"chat {model} --max-new-tokens 6 --min-new-tokens 6 --seed 3 --output {talk}")
    shell.see("Ctrl-D to leave.")
    for typed, expected in (
        ("the fox", CLEAR),
        ("/probabilities", "6 tokens, each chosen among"),
        ("/undoo", "did you mean /undo?"),
        ("/sampler creative", "min_p 0.05"),
        ("/retry", CLEAR),
        ("the \\\ndog", CLEAR),
        ("/tokens", "the last answer 6"),
        ("/undo", "are forgotten"),
        ("/system be brief", "the model is told so"),
        ("/probabilities on", "after each answer: on"),
        ("/edit the cat", "6 tokens, each chosen among"),
    ):
        shell.see("> ")
        shell.type(typed)
        shell.see(expected)
    shell.see("> ")
    shell.process.sendeof()
    _, code = shell.end()
    assert code == 0
    messages = json.loads(talk.read_text())["messages"]
    assert [each["content"] for each in messages if each["role"] == "user"] == ["the cat"]


def test_ctrl_c_ends_an_answer_and_not_the_chat(shell, model):
    shell.type(f"chat {model} --max-new-tokens 4000 --greedy")
    shell.see("> ")
    shell.type("the fox")
    shell.see(COLOUR)
    shell.interrupt()
    shell.see(" ...")
    shell.see("> ")
    shell.interrupt()
    shell.see("(Ctrl-D or /quit leaves)")
    shell.see("> ")
    shell.type("/edit")
    shell.see("the fox")  # to be changed in place
    shell.process.send("\x15the dog\r")
    shell.see(COLOUR)
    shell.interrupt()
    shell.see(" ...")
    shell.see("> ")
    shell.type("/quit")
    assert shell.end()[1] == 0


def test_ctrl_c_right_after_a_question_ends_no_chat(shell, model):
    shell.type(f"chat {model} --max-new-tokens 4000 --greedy")
    shell.see("> ")
    for delay in (0.0, 0.002, 0.01, 0.03, 0.06):
        shell.type("the fox")
        time.sleep(delay)
        shell.interrupt()
        time.sleep(0.2)
        shell.interrupt()  # whatever the first one met, this one meets the prompt
        shell.see("(Ctrl-D or /quit leaves)")
    shell.type("/quit")
    said, code = shell.end()
    assert code == 0 and "stopped at once" not in said


def test_a_run_is_interrupted_saved_and_resumed(shell, tmp_path):
    write_notes(tmp_path / "notes", files=8)
    line = f"pretrain --data {tmp_path / 'notes'} --output {tmp_path} --run first --vocabulary.size 300 --steps 3000"
    line += " --model.width 32 --model.layers 1 --batch.rows 2 --batch.context-tokens 16 --training.log-every-steps 1"
    shell.type(line)
    metrics = tmp_path / "first" / "metrics.jsonl"
    _wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0)
    shell.interrupt()
    said, code = shell.end()
    assert code == 130
    assert "saved" in said and "--resume" in said and "Traceback" not in said
    steps = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert 0 < steps < 3000
    said, code = shell.run(line)
    assert code == 2 and "go on with it with --resume" in plain(said)
    shell.type(f"{line} --resume")
    _wait_for(lambda: json.loads(metrics.read_text().splitlines()[-1])["step"] > steps + 3)
    shell.interrupt()
    assert shell.end()[1] == 130
    rows = [json.loads(row)["step"] for row in metrics.read_text().splitlines()]
    assert rows == list(range(1, len(rows) + 1))


def _wait_for(happened, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
