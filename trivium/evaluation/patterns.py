"""Patterns that somebody else wrote, matched within a limit of time.

    matches([(r"<b>.*</b>", "<b>bold</b>")], timeout_s=5.0)     # [True]

A matcher that goes back may take time that doubles with every letter: `(a+)+b` on thirty a's is enough (Cox 2007,
"Regular expression matching can be simple and fast"). It does not let go of the interpreter meanwhile, so a process of
its own does the matching, and a timer in it that needs no interpreter ends it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from trivium.errors import DataError, TriviumError

_SHOWN = 80
# Each answer has the whole time, and is told at once: how many were told says which one was too slow. The timer is in
# the process itself, so that one whose parent is killed ends too.
_MATCHING = """
import faulthandler, json, re, sys
seconds, asked = json.load(sys.stdin)
for pattern, text in asked:
    faulthandler.dump_traceback_later(seconds, exit=True)
    print(int(re.fullmatch(pattern, text, re.DOTALL) is not None), flush=True)
"""
_TOO_SLOW = "Timeout ("
"""How `faulthandler` begins what it says at the end of the time."""


def matches(asked: Sequence[tuple[str, str]], *, timeout_s: float) -> list[bool]:
    """Whether each pattern of Python's `re` matches the whole of its text, where . is any character.

    Args:
        asked: (pattern, text); the patterns can be compiled.
        timeout_s: longest that one of them may take.

    Raises:
        DataError: a pattern takes longer; it is named.
    """
    if not asked:
        return []
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MATCHING],
        input=json.dumps([timeout_s, asked]),
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C is for the run, which finishes its step and saves
    )
    found = [line == "1" for line in done.stdout.splitlines()]
    if len(found) == len(asked):
        return found
    if _TOO_SLOW not in done.stderr:
        raise TriviumError(f"the process that matches patterns ended early: {done.stderr[-200:] or done.returncode}")
    pattern, text = asked[len(found)]
    raise DataError(
        "a pattern takes too long to match",
        received=f"{pattern!r:.{_SHOWN}}: more than {timeout_s:g} s on {len(text):,} characters, {text!r:.{_SHOWN}}",
        fix="leave one way only to match a text: no (a+)+, (a|a)* or .*.*; a++ and (?>...) are not tried again",
    )
