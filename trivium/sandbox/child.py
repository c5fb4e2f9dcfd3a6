"""The process that a program runs in: it puts every layer on, tells which are in force, and only then runs it.

Started by `process` with nothing but the standard library. On the answer's pipe goes one line of JSON before any of the
program's code has run, which the parent believes, and one after it, which is the program's word.
"""

import os
import signal
import sys
from collections.abc import Callable

from trivium.sandbox import kernel, landlock, layers, library, limits, namespaces, program, root, seccomp, user

_ANSWER = 3


def main(arguments: list[str]) -> None:
    """Arguments: descriptors of the answer and of the program, the parent's id, bytes, seconds, layers to leave out."""
    answer, source, parent, memory, seconds = map(int, arguments[:5])
    sys.argv[:] = sys.orig_argv[:] = [program.NAME]
    sys.dont_write_bytecode = True
    os.environ.pop("MALLOC_ARENA_MAX", None)  # it was for the C library, which has read it
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    with open(source, encoding="utf-8", errors="surrogatepass") as file:
        text = file.read()
    # Numbers are the parent's, and may be beyond what a process has here: the answer's pipe comes after standard error.
    if answer != _ANSWER:
        os.dup2(answer, _ANSWER, inheritable=False)
        os.close(answer)
    here = _Layers(left_out=arguments[5].split())
    here.put_on(memory_bytes=memory, cpu_seconds=seconds)
    lacking = [] if here.left_out else layers.lacking(here.in_force)
    _tell(_ANSWER, {"layers": here.in_force, "missing": here.missing, "lacking": lacking})
    if not lacking:
        told = program.encoded(program.run(text))
        with open(_ANSWER, "wb") as pipe:
            pipe.write(told)


class _Layers:
    """The layers as they are put on, in the one order in which each still may."""

    def __init__(self, *, left_out: list[str]):
        self.left_out = left_out
        self.in_force = [layers.PROCESS]
        self.missing: dict[str, str] = {}

    def put_on(self, *, memory_bytes: int, cpu_seconds: int) -> None:
        was_root = os.geteuid() == 0
        for kind in namespaces.kinds():
            self._try(kind, lambda kind=kind: namespaces.leave(kind))
        process = os.getpid()
        if layers.PID in self.in_force:
            namespaces.divide()
        folders, readable = library.folders(), library.readable()
        if layers.MOUNT in self.in_force:
            self.in_force.remove(layers.MOUNT)
            self._try(layers.MOUNT, lambda: root.build(folders, library.packages()))
        if was_root and layers.MOUNT not in self.in_force:
            library.import_common()
        os.umask(0o077)
        self._try(layers.UNPRIVILEGED, lambda: self._privileges(process))
        writable = [root.NULL, *([root.SCRATCH] if layers.MOUNT in self.in_force else [])]
        rules = {"listable": folders, "readable": readable, "writable": writable}
        self._try(layers.LANDLOCK, lambda: landlock.restrict(**rules), landlock.verify)
        alone = was_root or layers.USER in self.in_force
        limit = {"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds, "count_threads": alone}
        self._try(layers.LIMITS, lambda: limits.impose(**limit))
        self._try(layers.SECCOMP, seccomp.install, seccomp.verify)
        self.in_force.sort(key=layers.NAMES.index)

    def _privileges(self, process: int) -> None:
        user.forbid_new_privileges()
        user.drop(process)
        user.verify()
        # A change of user takes it back.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)

    def _try(self, name: str, *steps: Callable[[], object]) -> None:
        if name in self.left_out:
            self.missing[name] = "left out"
            return
        try:
            for step in steps:
                step()
        except OSError as error:
            self.missing[name] = str(error)
        else:
            self.in_force.append(name)


def _tell(pipe: int, facts: dict[str, object]) -> None:
    """One line of JSON, made without importing json: the names are ours, the reasons the kernel's."""
    os.write(pipe, (_as_json(facts) + "\n").encode("ascii"))


def _as_json(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_as_json(key)}:{_as_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_json, value)) + "]"
    plain = [letter if letter.isalnum() or letter in " _-:./[]" else "?" for letter in ascii(value)[1:-1]]
    return '"' + "".join(plain) + '"'
