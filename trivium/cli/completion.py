"""`trivium --completion bash | zsh | fish`: a script that teaches a shell to complete verbs, flags and values.

    eval "$(trivium --completion bash)"          in ~/.bashrc; likewise zsh in ~/.zshrc
    trivium --completion fish | source           in config.fish

The script holds all the words itself: pressing Tab starts no Python.
"""

import shlex
from collections.abc import Iterable

from trivium.cli.flags import Flag, flags_of
from trivium.cli.verbs import VERBS, Verb
from trivium.errors import UserError

_EVERYWHERE = ("--json", "--dry-run", "--debug", "--help")
_ALONE = ("--help", "--version", "--completion")


def script(shell: str) -> str:
    """The script for a shell. Raises `UserError` for one that is not known."""
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if shell not in scripts:
        from trivium.config import did_you_mean  # with what reads YAML: only here is it wanted

        raise UserError(
            "there is no completion for this shell",
            received=shell or "nothing",
            expected="bash, zsh or fish",
            fix=did_you_mean(shell, scripts) or 'try: eval "$(trivium --completion bash)"',
        )
    return scripts[shell]()


def flags_of_verb(verb: Verb) -> list[Flag]:
    """Every flag that a verb has in any of its uses, once."""
    found = {flag.name: flag for settings in reversed(verb.settings) for flag in flags_of(settings)}
    return sorted(found.values(), key=lambda flag: (flag.name.count("."), flag.name))


def _pattern(verb: Verb) -> str:
    """What a shell's `case` knows a verb or a task by; of a verb with tasks, whatever stands where the task should."""
    return f'"{verb.name} "*' if verb.tasks else f'"{verb.name}"'


def _each() -> Iterable[Verb]:
    """Every verb, after the tasks that it has and what it does beside: the first that fits is taken."""
    for verb in VERBS:
        yield from verb.tasks
        yield from verb.beside
        yield verb


def _task_names(verb: Verb) -> list[str]:
    return [task.name.split()[-1] for task in (*verb.tasks, *verb.beside)]


def _words(verb: Verb) -> Iterable[str]:
    return [*(spelling for flag in flags_of_verb(verb) for spelling in flag.spellings), *_EVERYWHERE]


def _bash() -> str:
    verbs = " ".join([*(verb.name for verb in VERBS), *_ALONE])
    lines = [
        "_trivium() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" verb="${COMP_WORDS[1]}"',
        "  COMPREPLY=()",
        f'  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi',
        '  case "$verb $before" in',
        '    "--completion "*) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")); return ;;',
        "  esac",
        '  case "$verb" in',
    ]
    for verb in (verb for verb in VERBS if verb.tasks):
        tasks = f'COMPREPLY=($(compgen -W "{" ".join(_task_names(verb))}" -- "$word"))'
        lines.append(f'    {verb.name}) case "$COMP_CWORD $word" in "2 -"*) ;; "2 "*) {tasks}; return ;; esac')
        lines.append('      verb="$verb ${COMP_WORDS[2]}" ;;')
    for verb in (verb for verb in VERBS if verb.beside):
        names = _task_names(verb)
        offer = f'COMPREPLY=($(compgen -W "{" ".join(names)}" -- "$word")); return'
        lines.append(f'    {verb.name}) if [ "$COMP_CWORD" -eq 2 ]; then case "$word" in -*) ;; *) {offer} ;; esac')
        taken = f'case "${{COMP_WORDS[2]}}" in {"|".join(names)}) verb="$verb ${{COMP_WORDS[2]}}" ;; esac'
        lines.append(f"      else {taken}; fi ;;")
    lines += ["  esac", '  case "$verb $before" in']
    for verb in _each():
        for flag in flags_of_verb(verb):
            if flag.choices and not verb.tasks:
                reply = f'COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$word"))'
                lines.append(f'    "{verb.name} {flag.name}") {reply}; return ;;')
    # Where nothing is offered, `-o default` offers files.
    lines += ["  esac", '  case "$word" in -*) ;; *) return ;; esac']
    lines.append('  case "$verb" in')
    for verb in _each():
        lines.append(f'    {_pattern(verb)}) COMPREPLY=($(compgen -W "{" ".join(_words(verb))}" -- "$word")) ;;')
    lines += ["  esac", "}", "complete -o default -F _trivium trivium"]
    return "\n".join(lines) + "\n"


def _zsh() -> str:
    lines = ["#compdef trivium", "_trivium() {", "  if (( CURRENT == 2 )); then", "    local -a verbs=("]
    lines += [f"      {shlex.quote(verb.name + ':' + _no_colons(verb.summary))}" for verb in VERBS]
    lines += ["    )", "    _describe verb verbs; return", "  fi", '  local verb="$words[2]"']
    for verb in (verb for verb in VERBS if verb.tasks):
        values = f"_values task {' '.join(_task_names(verb))}; return"
        lines.append(f'  if [[ "$verb" == {verb.name} ]]; then')
        lines.append(f'    if (( CURRENT == 3 )) && [[ "$words[3]" != -* ]]; then {values}; fi')
        lines += ['    verb="$verb $words[3]"', "  fi"]
    for verb in (verb for verb in VERBS if verb.beside):
        names = _task_names(verb)
        lines.append(f'  if [[ "$verb" == {verb.name} && "$words[3]" != -* ]]; then')
        lines.append(f"    if (( CURRENT == 3 )); then _values work {' '.join(names)}; _files; return; fi")
        lines.append(f'    case "$words[3]" in {"|".join(names)}) verb="$verb $words[3]" ;; esac')
        lines.append("  fi")
    lines += ['  case "$verb" in', "    --completion) _values shell bash zsh fish ;;"]
    for verb in _each():
        lines.append(f"    {_pattern(verb)}) _arguments -S \\")
        for flag in flags_of_verb(verb):
            lines += [f"      {_zsh_flag(flag, spelling)} \\" for spelling in flag.spellings]
        lines += [f"      {shlex.quote(name)} \\" for name in _EVERYWHERE]
        lines.append("      '*:file:_files' ;;")
    lines += ["  esac", "}", "compdef _trivium trivium"]
    return "\n".join(lines) + "\n"


def _zsh_flag(flag: Flag, spelling: str) -> str:
    """As `_arguments` reads it: --name[what it means]:what is to be given:how to complete that."""
    value = f":value:({' '.join(flag.choices)})" if flag.choices else ":value:_files"
    about = flag.help.replace("[", "(").replace("]", ")")
    return shlex.quote(f"{spelling}[{_no_colons(about)}]" + ("" if flag.is_switch else value))


def _no_colons(text: str) -> str:
    return text.replace(":", "\\:")


def _fish() -> str:
    lines = ["complete -c trivium -n __fish_use_subcommand -f"]
    lines += [
        f"complete -c trivium -n __fish_use_subcommand -f -a {verb.name} -d {shlex.quote(verb.summary)}"
        for verb in VERBS
    ]
    lines.append("complete -c trivium -n __fish_use_subcommand -l completion -x -a 'bash zsh fish'")
    for verb in (verb for verb in VERBS if verb.tasks):
        tasks, seen = " ".join(_task_names(verb)), "__fish_seen_subcommand_from"
        lines.append(f"complete -c trivium -n '{seen} {verb.name}; and not {seen} {tasks}' -f -a '{tasks}'")
    for verb in (verb for verb in VERBS if verb.beside):
        names, seen = " ".join(_task_names(verb)), "__fish_seen_subcommand_from"
        lines.append(f"complete -c trivium -n '{seen} {verb.name}; and not {seen} {names}' -a '{names}'")
    for verb in (verb for verb in _each() if not verb.tasks):
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in verb.name.split())
        here = f"complete -c trivium -n '{seen}'"
        for flag in flags_of_verb(verb):
            value = f" -x -a {shlex.quote(' '.join(flag.choices))}" if flag.choices else " -r"
            for spelling in flag.spellings:
                lines.append(f"{here} -l {spelling[2:]}{'' if flag.is_switch else value} -d {shlex.quote(flag.help)}")
        lines += [f"{here} -l {name[2:]}" for name in _EVERYWHERE]
    return "\n".join(lines) + "\n"
