"""Running the text of a program, once every layer is in force: the one place where Trivium executes foreign code.

Nothing here is a defence. The program can change every object of its process; what it cannot do, the kernel refuses.
"""

import ast
import json
import sys

NAME = "<program>"
# The variable that holds the value of a program whose last line is not an expression.
_VARIABLE = "answer"


def run(source: str) -> dict[str, object]:
    """What is to be told: status "ok" with a value, "error" with the error in words, or "memory"."""
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    try:
        return {"status": "ok", "value": _value(source, main.__dict__), "error": None}
    except SystemExit as ending:
        if ending.code in (None, 0):
            return {"status": "ok", "value": main.__dict__.get(_VARIABLE), "error": None}
        return {"status": "error", "value": None, "error": f"SystemExit: {ending.code}"}
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold what filled the memory
        main.__dict__.clear()
        return {"status": "memory", "value": None, "error": "MemoryError"}
    except BaseException as error:
        _show(error)
        return {"status": "error", "value": None, "error": _in_words(error)}


def encoded(answer: dict[str, object]) -> bytes:
    """The answer as one line of JSON. What JSON has no form for (a set, a Fraction, a date) goes as its `str`."""
    try:
        line = json.dumps(answer, default=str)
    except MemoryError:
        return b'{"status": "memory", "value": null, "error": "MemoryError: the value is too large to be told"}\n'
    except (TypeError, ValueError, RecursionError):  # a key that is a tuple, a list that holds itself, a huge number
        try:
            line = json.dumps({**answer, "value": str(answer["value"])})
        except Exception as error:
            line = json.dumps({"status": "error", "value": None, "error": _in_words(error)})
    return line.encode("ascii") + b"\n"


def _value(source: str, names: dict[str, object]) -> object:
    tree = ast.parse(source, NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NAME, "exec", dont_inherit=True), names)
    value = None
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), NAME, "eval", dont_inherit=True), names)
    return names.get(_VARIABLE) if value is None else value


def _show(error: BaseException) -> None:
    """The traceback on standard error, from the program's own first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
        trace = trace.tb_next
    sys.__excepthook__(type(error), error.with_traceback(trace), trace)


def _in_words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # a class of the program's own may fail at that
        return type(error).__name__
