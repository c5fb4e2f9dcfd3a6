"""What goes wrong with a service: asked rightly, and not answered as agreed."""

from typing import Any

from trivium.errors import UserError

SHOWN_CHARACTERS = 300
"""How much of what was received an error quotes."""
_LARGEST = 2.0**63  # JSON has no bound: 1e999 is infinite to Python, and a whole number may have any length


class ServiceError(UserError):
    """A service that cannot be reached, refuses, or breaks off. Exit code 1: what was asked for is not at fault.

    ``again`` says whether the same request may succeed if it is sent once more, ``wait_s`` how long the service asks
    to be left alone before that, ``charged`` whether it may have been answered, and be paid for, all the same.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        received: object = None,
        expected: object = None,
        fix: str | None = None,
        again: bool = False,
        wait_s: float | None = None,
        charged: bool = False,
    ):
        super().__init__(what, received=received, expected=expected, fix=fix)
        self.again = again
        self.wait_s = wait_s
        self.charged = charged


class MalformedReply(ServiceError):
    """A reply that is not what the protocol says; ``received`` is how it begins. It was answered all the same."""

    def __init__(self, what: str, *, received: object = None, expected: object = None, fix: str | None = None):
        super().__init__(what, received=received, expected=expected, fix=fix, charged=True)


def shortened(text: str) -> str:
    """A piece of what was received that can be shown: one line, without control characters, not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * SHOWN_CHARACTERS]).split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 3]}..."


def field(reply: Any, *path: str | int, kind: type | tuple[type, ...], optional: bool = False) -> Any:
    """What stands at ``path`` of a parsed reply; None where it is absent or null and may be.

    Raises ``MalformedReply`` where it is missing or not of ``kind``.
    """
    value = reply
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    if value is None and optional:
        return None
    kinds = kind if isinstance(kind, tuple) else (kind,)
    # A bool is an int to Python.
    wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if wrong or (isinstance(value, int | float) and not abs(value) < _LARGEST):
        where = ".".join(str(step) for step in path)
        named = " or ".join(each.__name__ for each in kinds)
        what = (
            f"the service's reply has no {where}" if value is None else f"{where} of the service's reply is no {named}"
        )
        raise MalformedReply(
            what,
            received=shortened(str(reply)),
            expected=f"{where}: {named}",
            fix="check that the address speaks the protocol that was chosen",
        )
    return value
