"""Worker processes for the tasks of `trivium.data.tasks`, on one machine.

Each is a program of its own that is spoken to in JSON: nothing is pickled, nothing is inherited, and a file that hangs
a reader or eats memory costs one worker, which is replaced, and the file, which is passed over.
"""

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from trivium import errors
from trivium.data.tasks import perform
from trivium.errors import DataError

_START_SECONDS = 120.0
_PACKAGES = str(Path(__file__).parents[2])


@runtime_checkable
class Pool(Protocol):
    """What carries out tasks."""

    def map(self, requests: Sequence[dict[str, Any]]) -> Iterator[None]:
        """Goes on as the requests are done, in their order. Raises the error of the first that failed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Here:
    """Carries out tasks in this process, one after the other: for a few documents that are known to be harmless."""

    def map(self, requests: Sequence[dict[str, Any]]) -> Iterator[None]:
        """See `Pool`."""
        return map(perform, requests)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


class Processes:
    """Workers on this machine."""

    def __init__(self, count: int, *, memory_gib: float, seconds_a_file: float):
        """``count`` workers of at most ``memory_gib`` each; a file whose reading takes longer is passed over."""
        self._memory_gib = memory_gib
        self._seconds = seconds_a_file
        self._tasks: queue.SimpleQueue[tuple[dict[str, Any], Future[None]] | None] = queue.SimpleQueue()
        self._workers: set[_Worker] = set()
        self._closing = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]

    def map(self, requests: Sequence[dict[str, Any]]) -> Iterator[None]:
        """See `Pool`."""
        futures: list[Future[None]] = [Future() for _ in requests]
        for task in zip(requests, futures, strict=True):
            self._tasks.put(task)
        for future in futures:
            yield future.result()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        if error is not None:  # nobody waits for what is still being done
            for worker in list(self._workers):
                worker.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        worker: _Worker | None = None
        while (task := self._tasks.get()) is not None:
            request, future = task
            if self._closing:
                continue
            try:
                worker = self._answered(request, future, worker)
            except BaseException as error:  # whoever waits is to hear of it, whatever it is
                future.set_exception(error)
        if worker is not None:
            self._stop(worker)

    def _answered(self, request: dict[str, Any], future: "Future[None]", worker: "_Worker | None") -> "_Worker | None":
        """Answers ``future``, with as many workers as it takes; returns the last where it can go on."""
        while True:
            if worker is None:
                worker = _Worker(self._memory_gib)
                self._workers.add(worker)
            answer = worker.ask(request, self._seconds)
            if "done" in answer:
                future.set_result(None)
                return worker
            if "failed" in answer:
                future.set_exception(errors.from_json(answer["failed"]))
                return worker
            self._stop(worker)
            worker = None
            if answer["at"] is None or answer["at"] in request.get("stuck", ()) or self._closing:
                future.set_exception(_worker_ended(answer["why"]))
                return None
            request = {**request, "stuck": [*request["stuck"], answer["at"]]}

    def _stop(self, worker: "_Worker") -> None:
        self._workers.discard(worker)
        worker.kill()


class _Worker:
    """One process."""

    def __init__(self, memory_gib: float) -> None:
        path = os.pathsep.join(filter(None, [_PACKAGES, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # -P: what lies in the current folder, which may be the very data, is not imported.
            [sys.executable, "-P", "-m", "trivium.data.worker", str(memory_gib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"},
            # A signal from the terminal is for the process that started it, which ends this one.
            start_new_session=True,
        )
        self._unread = b""
        if self._line(_START_SECONDS) is None:
            self.kill()
            raise _worker_ended("it did not start")

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The last line of the answer; ``{"at": file or None, "why": text}`` if there came none.

        Only the reading of a file may take no longer than ``seconds``: the rest is our own, and takes what it takes.
        """
        assert self._process.stdin is not None
        at: str | None = None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"at": None, "why": "it had ended"}
        while (line := self._line(None if at is None else seconds)) is not None:
            if "at" not in line:
                return line
            at = line["at"]
        return {"at": at, "why": f"exit status {self._process.poll()}"}

    def kill(self) -> None:
        """Ends it now."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _line(self, seconds: float | None) -> dict[str, Any] | None:
        """The next line; None where none comes in time, or at all."""
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            try:
                descriptor = self._process.stdout.fileno()
                if not select.select([descriptor], [], [], seconds)[0]:
                    return None
                chunk = os.read(descriptor, 1 << 16)
            except (OSError, ValueError):  # closed by `kill` from another thread
                return None
            if not chunk:
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)


def _worker_ended(why: str) -> DataError:
    return DataError(
        "a worker process ended while it was at work",
        received=why,
        fix="if memory is short, give work.memory_gib more of it, or use fewer work.processes",
    )


def make_pool(engine: str, processes: int, *, memory_gib: float, seconds_a_file: float, harmless: bool) -> Pool:
    """The pool for a piece of work: ``harmless`` work of a single unit needs none."""
    if engine == "ray":
        from trivium.data.ray_pool import Cluster

        return Cluster()
    if harmless:
        return Here()
    return Processes(processes, memory_gib=memory_gib, seconds_a_file=seconds_a_file)
