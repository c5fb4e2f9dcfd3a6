"""`trivium`: finds the verb in the table, runs it, and turns whatever happens into an exit code.

    0 done      1 failed      2 asked wrongly      130 / 143 interrupted (Ctrl-C / SIGTERM), after saving

Nothing heavy is imported here: `trivium --help` does not load torch.
"""

import difflib
import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

from trivium import __version__
from trivium.cli import common, completion
from trivium.cli.flags import flags_of
from trivium.cli.verbs import VERBS, Options, Verb
from trivium.errors import Interrupted, StorageError, TriviumError, UserError

# What the operating system may refuse through no fault of ours, and what helps.
_STORAGE_FIXES = {
    errno.ENOSPC: "free some space, or give another --output",
    errno.EDQUOT: "free some of your quota, or give another --output",
    errno.EACCES: "check the permissions, or give another path",
    errno.EPERM: "check the permissions, or give another path",
    errno.EROFS: "the file system is read-only: give another --output",
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "give a folder, not a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "the path goes through links that lead back to themselves: give another path",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `trivium` with `arguments` (those of the process unless given) and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has not all letters is told their names
            stream.reconfigure(errors="backslashreplace")
    options, words = _take_options(words)
    try:
        return _dispatch(words, options)
    except Exception as error:
        return _explain(error, options)
    except KeyboardInterrupt:
        print("\nstopped at once, as asked", file=sys.stderr)
        return 130


def usage() -> str:
    """The text of `trivium --help`."""
    width = max(len(verb.name) for verb in VERBS)
    lines = ["usage: trivium VERB ...", "", "From raw text to a language model you can talk to.", ""]
    lines += [f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS]
    lines += ["", "Start with:", f"  {VERBS[0].example}", "", "`trivium VERB --help` tells the settings of a verb."]
    lines.append("Every verb takes --json (for programs), --dry-run (only say what would be done) and --debug.")
    lines.append('Let the shell complete verbs and settings:  eval "$(trivium --completion bash)"  (or zsh, fish)')
    return "\n".join(lines)


def _take_options(words: list[str]) -> tuple[Options, list[str]]:
    """Splits the flags that every verb understands from the rest; from a bare `--` on, every word is left as it is."""
    end = words.index("--") if "--" in words else len(words)
    flags = {"--json": "json", "--dry-run": "dry_run", "--dry_run": "dry_run", "--debug": "debug"}
    given = {flags[word]: True for word in words[:end] if word in flags}
    rest = [word for word in words[:end] if word not in flags] + words[end:]
    return Options(**given), rest


def _dispatch(words: list[str], options: Options) -> int:
    if words[:1] == ["help"] and len(words) > 1:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"trivium {__version__}")
        return 0
    if words[0] == "--completion":
        print(completion.script(words[1] if len(words) > 1 else ""), end="")
        return 0
    verb, words = _named(find_verb(words[0]), words[1:])
    # Before anything heavy is imported, so that a slip of the pen is told at once; a task is checked by its own verb.
    if not verb.tasks:
        common.check(verb, words, [flag for settings in verb.settings for flag in flags_of(settings)])
    try:
        importlib.import_module(verb.module).run(verb, words, options)
    except SystemExit as end:  # the parser ends this way after --help (0) or a flag it does not know (2)
        return end.code if isinstance(end.code, int) else 2
    return 0


def _named(verb: Verb, words: list[str]) -> tuple[Verb, list[str]]:
    """The verb, or what is done beside it where the first of `words` names that, with the words that are left."""
    for other in verb.beside:
        if words[:1] == other.name.split()[1:]:
            return other, words[1:]
    return verb, words


def find_verb(name: str) -> Verb:
    """The verb called `name`. Raises `UserError` with the nearest one where there is none."""
    names = [verb.name for verb in VERBS]
    for verb in VERBS:
        if verb.name == name:
            return verb
    near = difflib.get_close_matches(name, [*names, "--help", "--version", "--completion"], n=1)
    fix = f"did you mean `trivium {near[0]}`?" if near else "see `trivium --help`"
    raise UserError("there is no such verb", received=name, expected=f"one of {', '.join(names)}", fix=fix)


def _explain(error: Exception, options: Options) -> int:
    """Tells the error on standard error, without a traceback unless --debug, and gives the exit code."""
    if options.debug:
        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, OSError) and error.errno in _STORAGE_FIXES:
        fix = _STORAGE_FIXES[error.errno]
        error = StorageError(error.strerror or "the file cannot be used", received=error.filename, fix=fix)
    if isinstance(error, Interrupted):
        print(f"\n{error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, TriviumError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    print("  this is a fault in trivium, not in what you asked; --debug shows where it happened", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
