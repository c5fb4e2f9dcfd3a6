"""The process that templates run in: it says "ready", then answers each line of standard input with a line.

It is started by its path and imports nothing of Trivium: the less there is in the process, the less there is to reach.
"""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Environment, Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
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


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: what the assistant wrote, between marks that the request names."""

    tags = {"generation"}  # noqa: RUF012 (as Jinja declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_between_marks", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _between_marks(self, context: Context, caller: Callable[[], str]) -> str:
        before, after = context.get("generation_marks") or ("", "")
        return before + caller() + after


def _environment() -> Environment:
    """The names and options that `transformers` gives a chat template."""
    extensions = [loopcontrols, _Generation]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own `tojson` escapes for HTML, which models were not trained on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@lru_cache(maxsize=16)
def _compiled(environment: Environment, source: str) -> Template:
    """Compiling costs ten times what rendering a short conversation does, and a run renders with one template."""
    return environment.from_string(source)


def _render(environment: Environment, request: dict[str, Any]) -> dict[str, str]:
    limit = request["output_characters"]
    pieces: list[str] = []
    written = 0
    try:
        for piece in _compiled(environment, request["source"]).generate(**request["variables"]):
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
