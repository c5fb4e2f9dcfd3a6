"""A worker process of `trivium prepare`: answers each line of standard input, a request in JSON, with lines.

    {"at": "a.pdf"}      the file that is being read now; if no line follows for too long, the process is stopped
    {"at": null}         all files are read
    {"done": true}       what `tasks.perform` made lies in the work folder
    {"failed": {...}}    an error for the user

It ends when standard input does, so that no worker outlives the process that started it.
"""

import json
import os
import sys

from trivium.data.tasks import perform
from trivium.errors import StorageError, UserError


def _limit_memory(gib: float) -> None:
    """A file that expands without end costs an error, not the machine. Where the system has no limits, time is one."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answers until standard input ends; the first argument is the memory that may be used, in GiB."""
    _limit_memory(float(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer

    def say(line: dict) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    say({"ready": True})
    for request in sys.stdin:
        try:
            perform(json.loads(request), lambda name: say({"at": name}))
            say({"done": True})
        except UserError as error:
            say({"failed": error.to_json()})
        except OSError as error:
            say({"failed": StorageError("a file of the work folder cannot be used", received=error).to_json()})


if __name__ == "__main__":
    main()
