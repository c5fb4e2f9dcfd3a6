"""`trivium train TASK` and `trivium align TASK`: the recipe of a task, which the first word names."""

import importlib
from collections.abc import Sequence

from trivium.cli import common
from trivium.cli.flags import flags_of
from trivium.cli.output import print_json
from trivium.cli.verbs import Options, Verb
from trivium.config import did_you_mean
from trivium.errors import UserError

_ALSO = {
    "summarisation": ("text_to_text", ("--task", "summarisation")),
    **{loss: ("dpo", ("--objective", loss)) for loss in ("ipo", "kto", "orpo", "simpo")},
}
"""Names under which a task is known as well: what it is, and the settings that make it that."""


def run(verb: Verb, words: Sequence[str], options: Options) -> None:
    """Runs the recipe of the task; without one, `--help` lists them all."""
    if not words or words[0].startswith("-"):
        if not {"-h", "--help"} & set(words):
            raise UserError(f"{verb.name} what?", expected=_names(verb), fix=f"try: {verb.example}")
        _help(verb, options)
        return
    word, told = _ALSO.get(words[0], (words[0], ()))
    task, words = _task(verb, word), [*words[1:], *told]
    common.check(task, words, [flag for settings in task.settings for flag in flags_of(settings)])
    # With it comes torch, which a slip of the pen is told without.
    own = "trivium.cli.recipe" if task.module == __name__ else task.module
    importlib.import_module(own).run(task, words, options)


def _help(verb: Verb, options: Options) -> None:
    if options.json:
        print_json({_word(task): task.summary for task in verb.tasks})
        return
    width = max(len(_word(task)) for task in verb.tasks)
    lines = [f"usage: trivium {verb.name} TASK [RECIPE.yaml] [--setting value ...]", ""]
    lines += [f"  {_word(task):<{width}}  {task.summary}" for task in verb.tasks]
    lines += ["", f"Example: {verb.example}", "", f"`trivium {verb.name} TASK --help` tells the settings of a task."]
    print("\n".join(lines))


def _task(verb: Verb, word: str) -> Verb:
    for task in verb.tasks:
        if _word(task) == word.replace("-", "_"):
            return task
    near = did_you_mean(word, [_word(task) for task in verb.tasks])
    raise UserError(
        f"there is no such task to {verb.name}",
        received=word,
        expected=_names(verb),
        fix=near or f"see `trivium {verb.name} --help`",
    )


def _word(task: Verb) -> str:
    return task.name.split()[-1]


def _names(verb: Verb) -> str:
    return "one of " + ", ".join(_word(task) for task in verb.tasks)
