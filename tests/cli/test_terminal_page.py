"""docs/terminal.md shows every verb, with commands that exist."""

import re
import shlex

from docs.terminal import PAGE, STEPS, screen
from trivium.cli import common
from trivium.cli.completion import flags_of_verb
from trivium.cli.main import find_verb
from trivium.cli.verbs import VERBS


def test_every_verb_is_shown_and_every_command_exists():
    lines = re.findall(r"^\$ trivium (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    headings = [heading for heading, _, _ in STEPS]
    mistakes = STEPS[headings.index("Mistakes")][2]
    shown = set()
    for line in lines:
        if line in mistakes or line == "--help":
            continue
        name, *words = shlex.split(line)
        verb = find_verb(name)
        common.check(verb, [word for word in words if word not in ("--json", "--dry-run")], flags_of_verb(verb))
        shown.add(name)
    assert shown == {verb.name for verb in VERBS}
    assert [line for _, _, steps in STEPS for line in steps if not line.startswith("> ")] == lines


def test_the_page_is_plain_text():
    text = PAGE.read_text(encoding="utf-8")
    assert "\x1b" not in text and "Traceback" not in text and "/tmp/" not in text


def test_what_is_drawn_again_stands_there_once():
    assert screen("a 1\r\x1b[2Ka 2\r\nb\r\nc\x1b[1A\r\x1b[2KB\r\n") == "a 2\nB\nc\n"
    assert screen("\x1b[36mred\x1b[0m\r\n") == "red\n"
