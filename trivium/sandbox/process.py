"""The parent's side: starts the process, reads a bounded amount from it until a deadline, and ends all of it."""

import contextlib
import dataclasses
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import time

from trivium.errors import TriviumError

# The packages' own `__init__` files are not run there: they import what the process does not need.
_START = """
import sys
for name, folder in ("trivium", sys.argv[1]), ("trivium.sandbox", sys.argv[1] + "/sandbox"):
    package = type(sys)(name)
    package.__path__ = [folder]
    sys.modules[name] = package
from trivium.sandbox import child
child.main(sys.argv[2:])
"""
# The C library otherwise reserves 64 MiB of the address space for the memory of each thread: a fifth one had no room.
_ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_START_SECONDS = 30.0  # a loaded machine may be slow to start one; the program's own time has not begun
_GUARD_SECONDS = 5.0
_CHUNK = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be run, and how much it may use."""

    code: str
    """The text of the program."""
    stdin: str
    """What it reads from its standard input."""
    timeout_s: float
    """Seconds of wall clock, counted from when every layer is on."""
    memory_mib: int
    """Address space of the process."""
    output_kib: int
    """Of standard output, of standard error and of the answer, each."""
    left_out: tuple[str, ...] = ()
    """Layers that are not put on: how the tests see what each of them is for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ending:
    """What came of it, before anybody has interpreted it."""

    announced: bytes
    """The line that the process wrote before the program began; empty if it never came so far."""
    answer: bytes
    """What came on the same pipe afterwards: the program's word."""
    stdout: bytes
    stderr: bytes
    stopped: str
    """"timeout" or "output" if the parent ended it, else ""."""
    code: int
    """The exit code; negative for the signal that ended it."""
    seconds: float
    """From when every layer was on to the end."""


def execute(order: Order) -> Ending:
    """Runs one order to its end, in the calling thread. Nothing of it is left when this returns."""
    answer, answers = os.pipe()
    inputs = []
    try:
        inputs = [_sealed(order.code), _sealed(order.stdin)]
        child = _start(order, answers, *inputs)
    except BaseException:
        os.close(answer)
        raise
    finally:
        for descriptor in (answers, *inputs):
            os.close(descriptor)
    with child:
        try:
            return _Reading(order, child, answer).to_the_end()
        finally:
            _end(child, guarded=False)
            os.close(answer)


def _start(order: Order, answers: int, code: int, stdin: int) -> subprocess.Popen[bytes]:
    seconds = int(order.timeout_s) + 2
    numbers = (answers, code, os.getpid(), order.memory_mib << 20, seconds)
    arguments = [*map(str, numbers), " ".join(order.left_out)]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, _PACKAGE, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=_ONE_HEAP,
        cwd="/",
        pass_fds=(answers, code),
        start_new_session=True,
    )


def _sealed(text: str) -> int:
    """A file in memory with this text, which can only be read."""
    file = os.memfd_create("program", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    data = memoryview(text.encode("utf-8", "surrogatepass"))
    while data:
        data = data[os.write(file, data) :]
    os.lseek(file, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file


class _Reading:
    """The three pipes of a child and its end, watched together."""

    def __init__(self, order: Order, child: subprocess.Popen[bytes], answer: int):
        assert child.stdout is not None and child.stderr is not None
        self.order, self.child = order, child
        self.limit = order.output_kib << 10
        self.answer = answer
        self.streams = {answer: bytearray(), child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
        self.began: float | None = None

    def to_the_end(self) -> Ending:
        stopped = self._watch()
        announced, _, answer = bytes(self.streams[self.answer]).partition(b"\n")
        seconds = 0.0 if self.began is None else time.monotonic() - self.began
        code = _end(self.child, guarded=b'"pid_namespace"' in announced.partition(b"]")[0])
        _, stdout, stderr = (bytes(read[: self.limit]) for read in self.streams.values())
        return Ending(
            announced=announced if self.began is not None else b"",
            answer=answer,
            stdout=stdout,
            stderr=stderr,
            stopped=stopped,
            code=code,
            seconds=seconds,
        )

    def _watch(self) -> str:
        """Until the process ends, or has to be ended: why."""
        ended = os.pidfd_open(self.child.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ended, selectors.EVENT_READ)
                for stream in self.streams:
                    os.set_blocking(stream, False)
                    selector.register(stream, selectors.EVENT_READ)
                deadline = time.monotonic() + _START_SECONDS
                while (left := deadline - time.monotonic()) > 0:
                    ready = {key.fd for key, _ in selector.select(left)}
                    for stream in ready - {ended}:
                        if self._read(stream) == 0:
                            selector.unregister(stream)
                    if self.began is None and b"\n" in self.streams[self.answer]:
                        self.began = time.monotonic()
                        deadline = self.began + self.order.timeout_s
                    if any(len(read) > self.limit for read in self.streams.values()):
                        return "output"
                    if ended in ready:
                        return self._rest()
        finally:
            os.close(ended)
        return "timeout"

    def _rest(self) -> str:
        """What is still in the pipes of a process that has ended."""
        for stream, read in self.streams.items():
            while len(read) <= self.limit and self._read(stream):
                pass
        if self.began is None and b"\n" in self.streams[self.answer]:
            self.began = time.monotonic()
        return "output" if any(len(read) > self.limit for read in self.streams.values()) else ""

    def _read(self, stream: int) -> int:
        """How many bytes came; 0 at the end or when there are none now."""
        try:
            data = os.read(stream, _CHUNK)
        except BlockingIOError:
            return 0
        self.streams[stream] += data
        return len(data)


def _end(child: subprocess.Popen[bytes], *, guarded: bool) -> int:
    """Ends the whole group and gives the exit code of its first process. `guarded`: it ends the others by itself."""
    if child.returncode is not None:
        return child.returncode
    if guarded:
        os.kill(child.pid, signal.SIGTERM)  # not `send_signal`, which would reap it
        ended = os.pidfd_open(child.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ended, selectors.EVENT_READ)
                selector.select(_GUARD_SECONDS)
        finally:
            os.close(ended)
    # Not reaped yet, so its number cannot have passed to another group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        return child.wait(timeout=_GUARD_SECONDS)
    except subprocess.TimeoutExpired:
        raise TriviumError(f"process {child.pid} of the sandbox could not be ended") from None
