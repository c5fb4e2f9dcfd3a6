"""The flags read from source are those that the parser takes; the common ones work or are refused with a reason."""

import importlib
import re
import subprocess
import sys

import pytest

from trivium.cli import arguments, common
from trivium.cli.flags import flags_of
from trivium.cli.verbs import VERBS
from trivium.errors import ConfigError

EACH = [one for verb in VERBS for one in (*(verb.tasks or (verb,)), *verb.beside)]
ALL = [(one, settings) for one in EACH for settings in one.settings]
WORKS = [work for verb in VERBS for work in (verb, *verb.beside)]


@pytest.mark.parametrize(("verb", "settings"), ALL, ids=[settings for _, settings in ALL])
def test_they_are_those_of_the_parser(verb, settings, capsys):
    module, _, name = settings.partition(":")
    with pytest.raises(SystemExit) as caught:
        arguments.parse(getattr(importlib.import_module(module), name), verb, ["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    box = said[said.index(" options") :]
    parsed = {each for line in box.splitlines() for each in re.findall(r"(?:^  |, )(--[a-z][\w.-]*)", line)}
    found = {spelling for flag in flags_of(settings) for spelling in flag.spellings}
    assert found == parsed - {"--help"}


def test_what_a_flag_is():
    flags = {flag.name: flag for flag in flags_of("trivium.recipes.pretrain:PretrainConfig")}
    assert flags["--data"].is_required and flags["--data"].takes == "a path"
    assert {"adamw", "muon"} <= set(flags["--optimiser.kind"].choices)
    assert flags["--dtype"].choices == ("auto", "float32", "bfloat16")  # by a name that another module gives
    assert {"auto", "masked", "ul2"} <= set(flags["--objective.kind"].choices)  # "auto", and those of another name
    assert flags["--resume"].spellings == ("--resume", "--no-resume")
    assert flags["--training.compile"].spellings == ("--training.compile", "--training.no-compile")
    assert flags["--steps"].takes == "a whole number, or None"
    assert flags["--steps"].help == "Updates to do"


@pytest.mark.parametrize("verb", WORKS, ids=[verb.name for verb in WORKS])
@pytest.mark.parametrize("flag", common.COMMON)
def test_a_common_flag_works_or_a_sentence_says_why_not(verb, flag):
    known = flags_of(verb.settings[0])
    if flag in {each.name for each in known}:
        common.check(verb, [flag], known)
        return
    with pytest.raises(ConfigError) as caught:
        common.check(verb, [f"{flag}=x"], known)
    assert caught.value.what == f"trivium {verb.name} takes no {flag}"
    assert len(str(caught.value.fix).split()) >= 5


@pytest.mark.parametrize("flag", ["--draft", "--beams", "--n"])
def test_chat_says_why_it_has_not_what_generate_has(flag):
    chat = next(verb for verb in VERBS if verb.name == "chat")
    with pytest.raises(ConfigError) as caught:
        common.check(chat, [flag, "lookup"], flags_of(chat.settings[0]))
    assert caught.value.fix == common._ALIKE["chat", flag]


def test_the_reasons_are_for_flags_that_are_not_there():
    by_name = {verb.name: verb for verb in WORKS}
    assert all(flag in common.COMMON for _, flag in common._WHY_HERE)
    for name, flag in (*common._WHY_HERE, *common._ALIKE):
        assert flag not in {each.name for each in flags_of(by_name[name].settings[0])}, f"{name} has {flag} by now"


def test_every_training_verb_has_them_all():
    for name in ("pretrain", "finetune", "translation", "classification", "tagging"):
        flags = {flag.name for flag in flags_of(f"trivium.recipes.{name}:{name.capitalize()}Config")}
        assert set(common.COMMON) <= flags


def test_a_slip_is_told_before_torch_is_loaded():
    code = (
        "import sys; from trivium.cli.main import main; code = main(['pretrain', '--stps', '3']);"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "did you mean --steps?" in done.stderr
