"""Keeps one template worker running, and replaces it when a template had to be stopped."""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from trivium.errors import DataError

_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 60.0


class TemplateProcess:
    """A worker process that renders one template at a time, for all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    @staticmethod
    def shared() -> "TemplateProcess":
        """The one worker of this process; a forked child gets its own."""
        return _of_process(os.getpid())

    def render(self, source: str, variables: dict[str, Any], *, timeout_s: float, output_characters: int) -> str:
        """The text that the Jinja template ``source`` makes of ``variables``.

        Raises:
            DataError: the template fails, or goes beyond its time, memory or output.
        """
        request = {"source": source, "variables": variables, "output_characters": output_characters}
        line = json.dumps(request) + "\n"
        with self._lock:
            answer = self._ask(line, timeout_s)
        if "error" in answer:
            raise _refused(answer["error"])
        return answer["text"]

    def close(self) -> None:
        """Stop the worker; the next rendering starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _ask(self, line: str, timeout_s: float) -> dict[str, str]:
        try:
            process = self._running()
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self.close()
            raise _refused(f"it takes more than {timeout_s:g} s") from None
        except BrokenPipeError:
            answer = ""
        except BaseException:  # Ctrl-C: the answer still to come would be taken for that of the next request
            self.close()
            raise
        if not answer:
            self.close()
            raise _refused("it brought its process down")
        return json.loads(answer)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._answers = queue.SimpleQueue()
            # -I: neither the environment nor the current folder decides what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            assert self._process.stdout is not None
            reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
            reader.start()
            # Starting is not the template's time: on a busy machine it may take longer than a rendering may.
            self._answers.get(timeout=_START_SECONDS)
        return self._process


def _read(stream: Iterable[str], answers: "queue.SimpleQueue[str]") -> None:
    """Pass lines on; an empty one says that the worker has ended."""
    try:
        for line in stream:
            answers.put(line)
    except ValueError:  # the stream was closed under us
        return
    answers.put("")


@cache
def _of_process(identifier: int) -> TemplateProcess:
    process = TemplateProcess()
    atexit.register(process.close)
    return process


def _refused(reason: str) -> DataError:
    return DataError(
        "the chat template cannot be rendered",
        received=reason,
        fix="correct the messages, or use another chat template",
    )
