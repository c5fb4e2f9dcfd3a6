"""Writes docs/terminal.md: what a person sees of each verb, from real runs on a pseudo-terminal. Some minutes.

python -m docs.terminal
"""

import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence

from tests.cli.shell import Shell
from trivium.lm.words import cut_into_words

PAGE = pathlib.Path(__file__).with_name("terminal.md")
_COLUMNS, _MOST_LINES = 100, 64
_LEAST_WORDS, _MOST_WORDS = 4, 40
_HEAD = """\
# On the terminal

What a person sees of each verb. This page is written by `python -m docs.terminal`, from real runs of small models in an
empty folder: what is said here is what was said there, without the colours. Long answers are cut where `...` stands.

Everywhere: `--json` for programs, `--dry-run` to see the resolved settings and what the work will need, `--debug` for
the traceback of an error. Exit codes: 0 done, 1 failed, 2 asked wrongly, 130 and 143 interrupted after saving. Colours
are for terminals, and NO_COLOR turns them off. `eval "$(trivium --completion bash)"` (or zsh; `trivium --completion
fish | source`) lets the Tab key complete verbs, settings and values.
"""
_SMALL = "--model.width 64 --model.layers 2 --batch.rows 4 --batch.context-tokens 64"
# (heading, what to know, command lines); a line that begins with "> " is typed into the chat that was begun.
STEPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("The verbs", "In the order in which one comes to need them.", ("--help",)),
    (
        "quickstart",
        "With `--dry-run` it tells what it would do; without, it does it, and ends with a model and a page about it.",
        ("quickstart --minutes 5 --data notes --dry-run",),
    ),
    (
        "prepare",
        "Text becomes a vocabulary and token shards; `funnel.html` in the folder shows what was removed, and why.",
        (
            "prepare notes --output corpus --vocabulary-size 1024",
            "prepare --inspect corpus --documents 1 --context-tokens 32",
        ),
    ),
    ("tokenize", "How a vocabulary cuts a text.", ('tokenize corpus --text "Return the length of a list."',)),
    (
        "filters",
        "What `prepare` can judge other text by, learnt from text that one trusts.",
        ("filters notes --output trusted",),
    ),
    (
        "pretrain",
        "Where minutes or steps are given, the rest has a default. Ctrl-C saves and says how to go on.",
        (f"pretrain --data corpus --run first --steps 100 {_SMALL}",),
    ),
    (
        "finetune",
        "A finished model learns to answer, from lines of `prompt` and `completion`.",
        ("finetune --model runs/first --data pairs.jsonl --run tuned --steps 20 --rows 2 --context-tokens 64",),
    ),
    (
        "plan",
        "What tuning a model takes, in every way, here or on a machine that is told.",
        ("plan finetune --model runs/first --method qlora --rows 2 --context 64",),
    ),
    (
        "merge",
        "An adapter, here one that was just learnt, becomes part of its model.",
        (
            "finetune --model runs/first --data pairs.jsonl --method lora --run adapter --steps 20 --context-tokens 64",
            "merge runs/adapter --output merged",
        ),
    ),
    (
        "extend",
        "More pieces for text that a vocabulary cuts too fine; the model is to be trained on it afterwards.",
        ("extend runs/first --text notes --pieces 20",),
    ),
    (
        "train",
        "A network for a task, from nothing or from a model (`--base`). Here: which words of the manual are code.",
        ("train --help", "train tagging --data train.conll --run code --steps 800"),
    ),
    (
        "align",
        "A model learns from what people say of its answers; the word behind the verb says how.",
        ("align --help",),
    ),
    (
        "predict",
        "What the model is for, a line each; `--input -` reads standard input.",
        ("predict runs/code --input questions.txt", "predict runs/code --input questions.txt --json"),
    ),
    (
        "evaluate",
        "Bits per byte compare language models of any vocabulary; other models are measured at what they are for.",
        ("evaluate runs/first --data corpus", "evaluate runs/code --data test.conll"),
    ),
    (
        "understand",
        "What a model knows of a text, layer by layer, as a page; `--texts` and `--sentences` add probes.",
        ('understand runs/first --sentence "Return the list because it is sorted" --word it',),
    ),
    (
        "generate",
        "The answer comes as it is made. `--show-probabilities` tells how likely each token was; `--ban` bans texts.",
        (
            'generate runs/first --prompt "The value " --max-new-tokens 24 --temperature 0.7 --seed 1',
            'generate runs/first --prompt "The value " --max-new-tokens 6 --show-probabilities',
            'generate runs/first --prompt "The value " --max-new-tokens 6 --json',
        ),
    ),
    (
        "chat",
        "Lines that begin with a slash are for the program, the others for the model. Ctrl-C ends only an answer.",
        (
            "chat runs/tuned --max-new-tokens 12",
            "> What is a list?",
            "> /sampler temperature=0.7,top_p=0.9",
            "> /seed 7",
            "> /retry",
            "> /history",
            "> /settings",
            "> /tokens",
            "> /undo",
            "> /help",
            "> /quit",
        ),
    ),
    ("models", "Where a model comes from, each step checked by its hash.", ("models --trace runs/tuned",)),
    (
        "doctor",
        "What this machine can do. These figures are those of the machine the page was written on.",
        ("doctor",),
    ),
    (
        "Mistakes",
        "One error, what was received, and what to do.",
        (
            "genrate runs/first",
            "train taging --data train.conll",
            "predict runs/first --input questions.txt",
            "pretrain --data corpus --widht 64",
            "pretrain --data corpus --batch.reading windws",
            "generate runs/frist --prompt a",
            "evaluate runs/first --data corpus --seed 3",
            'tokenize corpus "a list"',
            "chat runs/tuned --draft lookup",
        ),
    ),
)


def main() -> None:
    """Runs every step and writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        _write_texts(place)
        with Shell(columns=_COLUMNS, cwd=place) as shell:
            parts = [_HEAD, *(_section(shell, *step) for step in STEPS)]
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(shell: Shell, heading: str, about: str, lines: Sequence[str]) -> str:
    shown = []
    for number, line in enumerate(lines):
        if line.startswith("> "):
            continue
        typed = [each[2:] for each in lines[number + 1 :] if each.startswith("> ")]
        shell.type(line)
        said = "".join(_said(shell, each) for each in typed)
        said += shell.end()[0]
        shown.append(f"$ trivium {line}\n{_cut(screen(said))}")
    return f"## {heading}\n{about}\n```\n{chr(10).join(shown).rstrip()}\n```\n"


def _said(shell: Shell, line: str) -> str:
    """What was shown before the chat asked, and the line that is typed then, as its echo shows it."""
    before = shell.see("> ")
    shell.process.sendline(line)
    return f"{before}> "


def screen(text: str) -> str:
    """What stands on the screen in the end: lines that were drawn again are there once."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b.|\r|\n|[^\x1b\r\n]+", text):
        moved = re.fullmatch(r"\x1b\[(\d*)([AKJ])", part)
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif moved and moved[2] == "A":
            row = max(0, row - int(moved[1] or 1))
        elif moved and moved[2] == "K":
            lines[row] = "" if moved[1] == "2" else lines[row][:column]
        elif not part.startswith("\x1b"):
            lines[row] = f"{lines[row][:column]:<{column}}{part}{lines[row][column + len(part) :]}"
            column += len(part)
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _cut(text: str) -> str:
    lines = [line if len(line) <= 2 * _COLUMNS else line[: 2 * _COLUMNS] + " ..." for line in text.splitlines()]
    kept = lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES // 2], "...", *lines[-_MOST_LINES // 2 :]]
    return "\n".join(kept) + "\n"


def _write_texts(place: pathlib.Path) -> None:
    """Python's own reference manual as notes, and a few examples to tune on."""
    from pydoc_data.topics import topics  # real English, on every machine

    (place / "notes").mkdir()
    for name, text in topics.items():
        (place / "notes" / f"{name}.txt").write_text(text, encoding="utf-8")
    pairs = [f'{{"prompt": "What is {name}?", "completion": "A topic of the manual."}}' for name in topics]
    (place / "pairs.jsonl").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    _write_tagged(place, list(topics.values()))
    questions = ("The __len__() method is called by len(), and returns an int.", "If x is None, it raises TypeError.")
    (place / "questions.txt").write_text("\n".join(questions) + "\n", encoding="utf-8")


def _write_tagged(place: pathlib.Path, texts: Sequence[str]) -> None:
    """Sentences of the manual word by word: what it sets in double quotes is code. The last tenth is for measuring."""
    found = ["".join(f"{word}\t{tag}\n" for word, tag in _tagged(sentence)) for sentence in _sentences(texts)]
    cut = len(found) * 9 // 10
    (place / "train.conll").write_text("\n".join(found[:cut]), encoding="utf-8")
    (place / "test.conll").write_text("\n".join(found[cut:]), encoding="utf-8")


def _sentences(texts: Sequence[str]) -> Iterator[str]:
    for paragraph in (each for text in texts for each in re.split(r"\n\s*\n", text)):
        if paragraph.startswith((" ", "*", "=", "-")):
            continue
        for sentence in re.split(r"(?<=[.:])\s+(?=[A-Z])", " ".join(paragraph.split())):
            if sentence.count('"') % 2 == 0 and _LEAST_WORDS <= len(sentence.split()) <= _MOST_WORDS:
                yield sentence


def _tagged(sentence: str) -> list[tuple[str, str]]:
    tagged = []
    for number, part in enumerate(sentence.split('"')):
        words = cut_into_words(part)[1]
        inside = number % 2 == 1
        tagged += [(word, ("I-code" if place else "B-code") if inside else "O") for place, word in enumerate(words)]
    return tagged


if __name__ == "__main__":
    main()
