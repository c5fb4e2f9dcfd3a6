"""Completion: the scripts are made without torch, and what bash offers is what the verbs take."""

import shutil
import subprocess
import sys

import pytest

from trivium.cli import completion
from trivium.cli import main as cli
from trivium.cli.flags import flags_of
from trivium.cli.verbs import VERBS
from trivium.errors import UserError

TASKS = ["translation", "classification", "tagging", "question_answering", "text_to_text", "embedding"]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp("completion") / "trivium.bash"
    file.write_text(completion.script("bash"))
    return file


def offered(script, *words: str) -> list[str]:
    """What Tab offers after `trivium WORDS`."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    code = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trivium; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        [bash, "--norc", "-c", code, "bash", str(script), "trivium", *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_verbs(script):
    assert {verb.name for verb in VERBS} <= set(offered(script, ""))
    assert offered(script, "gen") == ["generate"]
    assert offered(script, "--completion", "f") == ["fish"]


@pytest.mark.parametrize("verb", VERBS, ids=[verb.name for verb in VERBS])
def test_every_flag_of_every_verb(script, verb):
    expected = {flag.name for settings in verb.settings for flag in flags_of(settings)}
    assert expected | {"--json", "--dry-run", "--help"} <= set(offered(script, verb.name, "--"))


def test_values_that_can_be_listed(script):
    assert {"adamw", "muon"} <= set(offered(script, "pretrain", "--optimiser.kind", ""))
    assert offered(script, "pretrain", "--optimiser.kind", "m") == ["muon"]
    assert offered(script, "pretrain", "notes/", "--dtype", "b") == ["bfloat16"]
    assert offered(script, "pretrain", "rec") == []  # files, which readline offers


def test_a_task_comes_after_its_verb_and_has_settings_of_its_own(script):
    assert offered(script, "train", "") == TASKS
    assert offered(script, "train", "ta") == ["tagging"]
    assert "--model.crf" in offered(script, "train", "tagging", "--model.c")
    assert offered(script, "train", "classification", "--model.c") == []
    assert offered(script, "train", "classification", "--method", "g") == ["generative"]
    assert offered(script, "train", "tagging", "--data", "") == []  # files
    assert {"--source", "--data", "--method"} <= set(offered(script, "train", "--"))


def test_what_a_verb_does_beside_has_settings_of_its_own(script):
    assert offered(script, "pretrain", "g") == ["gan"]
    assert offered(script, "pretrain", "gan", "--settings.relgan.largest") == ["--settings.relgan.largest-beta"]
    assert offered(script, "pretrain", "--settings") == []
    assert offered(script, "pretrain", "gan", "--method", "se") == ["seqgan"]


def test_it_imports_nothing_that_takes_time():
    code = (
        "import sys; from trivium.cli.main import main; main(['--completion', 'bash']);"
        "print(*sorted({'torch', 'numpy', 'tyro', 'cattrs'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "" and "complete -o default -F _trivium trivium" in done.stdout


def test_other_shells_know_the_same_words():
    for shell in ("zsh", "fish"):
        text = completion.script(shell)
        assert all(verb.name in text for verb in VERBS)
        assert "optimiser.muon-learning-rate" in text and "adamw adamw8bit galore muon" in text
        assert " ".join(TASKS) in text and "model.crf" in text


def test_a_shell_that_is_not_known(capsys):
    with pytest.raises(UserError, match="no completion"):
        completion.script("csh")
    assert cli.main(["--completion"]) == 2
    assert cli.main(["--completion", "bsh"]) == 2
    assert "did you mean bash?" in capsys.readouterr().err
