"""The flags that go by one name wherever they mean something, and why a verb without one of them has none.

Whoever knows `--steps` from one verb will try it with another: there it works, or a sentence says why it cannot.
"""

import difflib
import re
from collections.abc import Sequence

from trivium.cli.flags import Flag, spelled
from trivium.cli.verbs import Verb
from trivium.errors import ConfigError

COMMON = ("--output", "--run", "--resume", "--seed", "--device", "--dtype", "--steps", "--minutes")
"""Beside --json, --dry-run and --debug, which every verb takes."""

# What begins with a dash and goes on with a space or a figure is a value: "- an item", -0.5.
_LIKE_A_FLAG = re.compile(r"--?[a-zA-Z][^\s]*")
_LEAST_LIKENESS, _SHOWN_PARTS = 0.6, 3
_NO_RUN = "a run is what training makes"
_WHY: dict[str, str] = {
    "--output": "it prints what it has to say: send that to a file with > FILE",
    "--run": f"{_NO_RUN}, and this verb trains nothing",
    "--resume": f"{_NO_RUN}, and this verb trains nothing that could be gone on with",
    "--seed": "nothing in it is left to chance: the same input gives the same output",
    "--device": "it does not compute with a network",
    "--dtype": "it does not compute with a network",
    "--steps": "steps are counted in training, and this verb trains nothing",
    "--minutes": "it takes as long as it takes",
}
_WHY_HERE: dict[tuple[str, str], str] = {
    ("quickstart", "--dtype"): "it is sized for float32, the one format that every machine multiplies fast",
    ("pretrain gan", "--dtype"): "a game is played in float32: rewards and soft texts lose too much in fewer bits",
    ("prepare", "--run"): "it makes a folder of data, not a run: name the folder with --output",
    ("prepare", "--resume"): "it needs none: give the same command again, and it goes on where it stopped",
    ("prepare", "--seed"): "nothing in it is left to chance but the passes of a mixture, which have --mixture.seed",
    ("prepare", "--device"): "it works with processors only: say how many with --work.processes",
    ("filters", "--run"): "it makes a folder with a filter, not a run: name the folder with --output",
    ("filters", "--resume"): "it is done in minutes: give the same command again",
    ("filters", "--steps"): "it goes over its text once, and counts no steps",
    ("filters", "--minutes"): "it goes over its text once: give less text to be done sooner",
    ("tokenize", "--output"): "it prints what it has to say; a page is written with --html FILE",
    ("predict", "--steps"): "it reads every text once: give less text to be done sooner",
    ("predict", "--minutes"): "it reads every text once: give less text to be done sooner",
    ("evaluate", "--steps"): "it scores every token of the data once: give less data to be done sooner",
    ("evaluate", "--minutes"): "it scores every token of the data once: give less data to be done sooner",
    ("generate", "--steps"): "the length of an answer is counted in tokens: --max-new-tokens",
    ("generate", "--minutes"): "the length of an answer is counted in tokens: --max-new-tokens",
    ("chat", "--steps"): "the length of an answer is counted in tokens: --max-new-tokens",
    ("chat", "--minutes"): "a conversation lasts as long as you like",
    ("chat", "--resume"): "a conversation that was saved goes on with /load FILE",
    ("doctor", "--device"): "it looks at every device there is",
    ("doctor", "--dtype"): "it measures every number format there is",
    ("doctor", "--minutes"): "how long it measures is counted in seconds: --seconds",
}
# Flags of one verb that mean nothing for another one beside it.
_ALIKE: dict[tuple[str, str], str] = {
    ("chat", "--draft"): "an answer that is shown as it is written cannot be drafted: trivium generate has it",
    ("chat", "--beams"): "an answer that is shown as it is written is not searched for: trivium generate has it",
    ("chat", "--n"): "a conversation has one answer to each question; /retry gives another",
}


def check(verb: Verb, words: Sequence[str], flags: Sequence[Flag]) -> None:
    """Refuses words that begin like a flag and are none of `flags`, each with a sentence.

    Raises `ConfigError`, with the reason for a common flag that can mean nothing here, else with the nearest name.
    """
    known = {spelling for flag in flags for spelling in flag.spellings}
    for word in words:
        if word == "--":
            return
        name = spelled(word)
        if not _LIKE_A_FLAG.fullmatch(name) or name in (*known, "--help", "-h"):
            continue
        if name in COMMON or (verb.name, name) in _ALIKE:
            raise ConfigError(f"trivium {verb.name} takes no {name}", received=word, fix=reason(verb.name, name))
        raise ConfigError(
            f"trivium {verb.name} has no such setting",
            received=word,
            fix=_nearest(name, flags) or f"see `trivium {verb.name} --help`",
        )


def _nearest(name: str, flags: Sequence[Flag]) -> str | None:
    """The flag that is meant: by its whole name, or by the last part of it, as `--width` means `--model.width`."""
    parts = [flag.name for flag in flags if flag.name.startswith(f"{name}.")]
    if parts:
        return f"name a part of it: {', '.join(parts[:_SHOWN_PARTS])}" + (" ..." if len(parts) > _SHOWN_PARTS else "")
    likeness = difflib.SequenceMatcher()
    likeness.set_seq2(name)
    found, best = None, _LEAST_LIKENESS
    for flag in flags:
        for candidate in (flag.name, "--" + flag.name.rpartition(".")[2].removeprefix("--")):
            likeness.set_seq1(candidate)
            if likeness.ratio() > best:
                found, best = flag.name, likeness.ratio()
    return found and f"did you mean {found}?"


def reason(verb: str, flag: str) -> str:
    """Why `flag`, one of `COMMON` or of a like verb, means nothing for `verb`."""
    return _WHY_HERE.get((verb, flag)) or _ALIKE.get((verb, flag)) or _WHY[flag]
