"""The command line from outside: exit codes, what is imported, and what is said when something is wrong."""

import errno
import json
import subprocess
import sys

import pytest

from trivium import errors
from trivium.cli import main as cli
from trivium.cli.verbs import VERBS, Verb


def trivium(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "trivium.cli.main", *words], capture_output=True, text=True, check=False, timeout=120
    )


def test_help_tells_every_verb_and_exits_with_0(capsys):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    for verb in VERBS:
        assert f"  {verb.name} " in said
        assert verb.summary in said


def test_no_verb_is_asked_wrongly(capsys):
    assert cli.main([]) == 2
    assert "usage: trivium VERB" in capsys.readouterr().out


def test_help_may_come_before_a_verb(capsys):
    assert cli.main(["help"]) == 0
    assert "usage: trivium VERB" in capsys.readouterr().out
    assert cli.main(["help", "doctor"]) == 0
    assert "Example: trivium doctor" in capsys.readouterr().out
    assert cli.main(["--hlep"]) == 2
    assert "did you mean `trivium --help`?" in capsys.readouterr().err


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("trivium 0.")


def test_help_imports_neither_torch_nor_a_parser():
    code = (
        "import sys; from trivium.cli.main import main; main(['--help']);"
        "print(*sorted({'torch', 'numpy', 'tyro', 'rich', 'cattrs', 'yaml'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert done.returncode == 0


def test_unknown_verb_names_the_nearest(capsys):
    assert cli.main(["pretrian"]) == 2
    said = capsys.readouterr().err
    assert "there is no such verb" in said
    assert "received: pretrian" in said
    assert "did you mean `trivium pretrain`?" in said


def test_unknown_verb_from_a_shell_shows_no_traceback():
    done = trivium("nonsense")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "see `trivium --help`" in done.stderr


def test_unknown_flag_exits_with_2_and_suggests():
    done = trivium("doctor", "--secnds", "1")
    assert done.returncode == 2
    assert "--seconds" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_of_a_verb_holds_its_example():
    done = trivium("doctor", "--help")
    assert done.returncode == 0
    assert "Example: trivium doctor" in done.stdout
    assert "--json" in done.stdout


def raising(monkeypatch, error: BaseException) -> None:
    """Makes `trivium doctor` fail with `error`."""

    class Broken:
        @staticmethod
        def run(verb, words, options):
            raise error

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Broken)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.TriviumError("the work failed"), 1, "error: the work failed"),
        (errors.NonFiniteError("the loss is NaN"), 1, "the loss is NaN"),
        (errors.DataError("the file is empty", fix="give another"), 2, "fix:      give another"),
        (errors.Interrupted("saved; go on with --resume", signal_number=2), 130, "saved; go on with --resume"),
        (errors.Interrupted("saved", signal_number=15), 143, "saved"),
        (KeyboardInterrupt(), 130, "stopped at once"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 2, "received: /x/y"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/x/y"), 2, "give a shorter path"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "/x/y"), 2, "links that lead back"),
        (ZeroDivisionError("division by zero"), 1, "a fault in trivium"),
    ],
)
def test_whatever_happens_becomes_an_exit_code_without_a_traceback(monkeypatch, capsys, error, code, said):
    raising(monkeypatch, error)
    assert cli.main(["doctor"]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_debug_shows_the_traceback(monkeypatch, capsys):
    raising(monkeypatch, ZeroDivisionError("division by zero"))
    assert cli.main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_doctor_speaks_json(capsys):
    assert cli.main(["doctor", "--json", "--seconds", "0.05"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["machine"]["cores"] > 0
    assert facts["speed"]["float32_gflops"] > 0
    assert facts["advice"]["threads"] >= 1
    budgets = facts["advice"]["budgets"]
    assert [row["budget"] for row in budgets] == ["5 minutes", "1 hour", "1 day"]
    assert budgets[0]["parameters"] < budgets[1]["parameters"] < budgets[2]["parameters"]


def test_doctor_measures_for_some_time(capsys):
    assert cli.main(["doctor", "--seconds", "-1"]) == 2
    assert "nothing can be measured" in capsys.readouterr().err


def test_after_a_bare_double_dash_nothing_is_a_flag():
    options, words = cli._take_options(["generate", "m", "--json", "--", "--debug"])
    assert options.json
    assert not options.debug
    assert words == ["generate", "m", "--", "--debug"]


def test_every_verb_is_complete():
    assert len({verb.name for verb in VERBS}) == len(VERBS)
    for verb in VERBS:
        assert isinstance(verb, Verb)
        assert verb.example.startswith(f"trivium {verb.name}")
        assert verb.summary[0].islower()
        assert len(verb.summary) <= 80


def test_models_speaks_json_in_the_order_of_history(capsys):
    assert cli.main(["models", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    rows = said["architectures"]
    for listed in (rows, said["unpublished"]):
        assert [row["year"] for row in listed] == sorted(row["year"] for row in listed)
    by_name = {row["name"]: row for row in rows}
    assert by_name["gpt2"]["parameters"]["gpt2"] == 124_439_808  # as published, tied
    assert by_name["gpt2"]["loads"]
    assert not by_name["lstm"]["loads"]
    assert not by_name["jurassic1"]["loads"]  # a GPT-2 by its model_type, and never published
    kinds = {row["name"]: (row["kind"], row["taken_for"]) for row in said["often_misfiled"]}
    assert kinds["palm"] == ("decoder", "encoder-decoder")
    assert kinds["gopher"] == ("decoder", "encoder")


def test_models_for_people(capsys):
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert "Bahdanau et al. 2015" in said
    assert "124M" in said
    wudao = said.partition("WuDao 2.0")[2]
    assert "no service offers it; the nearest that can be built is glm-10b" in wudao
    assert "palm  Google: decoder, not encoder-decoder" in wudao.partition("Often misfiled")[2]
