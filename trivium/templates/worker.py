"""The process that templates run in: it says "ready", then answers each line of standard input with a line.

It is started by its path and imports nothing of Trivium: the less there is in the process, the less there is to reach.
"""

import json
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Environment, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MEMORY_BYTES = 1 << 30


def _limit_memory() -> None:
    """An endless string ends this process, not the machine. Where the system has no such limit, time still has."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _environment() -> Environment:
    """The names and options that `transformers` gives a chat template."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own `tojson` escapes for HTML, which models were not trained on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _render(environment: Environment, request: dict[str, Any]) -> dict[str, str]:
    limit = request["output_characters"]
    pieces: list[str] = []
    written = 0
    try:
        for piece in environment.from_string(request["source"]).generate(**request["variables"]):
            written += len(piece)
            if written > limit:
                return {"error": f"it writes more than {limit:,} characters"}
            pieces.append(piece)
    except MemoryError:
        return {"error": f"it needs more than {_MEMORY_BYTES >> 20:,} MiB of memory"}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:  # a template may fail in any way that Python can
        return {"error": f"{type(error).__name__}: {error}"}
    return {"text": "".join(pieces)}


def main() -> None:
    """Answer until standard input ends."""
    _limit_memory()
    environment = _environment()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_render(environment, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
