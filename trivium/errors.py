"""Every error Trivium raises on purpose.

    Exception
    └── TriviumError                 exit code 1: the work was asked for rightly and failed
        ├── NonFiniteError           a loss or a gradient stopped being a number
        ├── Interrupted              exit code 130 / 143: stopped by a signal, after saving
        └── UserError (ValueError)   exit code 2: asked wrongly; says what to do instead
            ├── ConfigError          an unknown field, a wrong type, an impossible combination
            ├── DataError            text that cannot be read, or is too little
            ├── TokenizerError       a vocabulary that does not fit
            ├── CheckpointError      a checkpoint folder that is absent, truncated or altered
            ├── StorageError         no space, no permission, no such folder
            ├── Unsupported          a capability that this model, machine or release does not have
            └── ServiceError         a service that answered wrongly or not at all, exit code 1 (trivium.lm.hosted)

A `UserError` has four parts, each on a line of its own, and the last three only where there is something to say:

    the learning rate must be positive
      received: -0.1
      expected: a number above 0
      fix:      set --learning-rate 0.001

Our own invariants are `assert`s: a failing one is our bug, never the user's.
"""

import signal


class TriviumError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1


class NonFiniteError(TriviumError):
    """The loss or the gradient is NaN or infinite, more often than the run allows."""


class Interrupted(TriviumError):
    """Work stopped by a signal after everything worth keeping was saved.

    `signal_number` is the signal received; the exit code is 128 + it, as a shell expects: 130 for Ctrl-C (SIGINT),
    143 for SIGTERM.
    """

    def __init__(self, message: str, *, signal_number: int = signal.SIGINT):
        super().__init__(message)
        self.signal_number = int(signal_number)
        self.exit_code = 128 + self.signal_number


class UserError(TriviumError, ValueError):
    """Something was asked wrongly. `str(error)` is the whole message, in the layout above."""

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        received: object = None,
        expected: object = None,
        fix: str | None = None,
    ):
        """What is wrong, what was received, what would have been right, and what to do about it.

        `received` and `expected` are shown with `str`, so a caller quotes a text where the quotes help to see it.
        """
        super().__init__(what)
        self.what = what
        self.received = received
        self.expected = expected
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.what]
        for label, value in (("received", self.received), ("expected", self.expected), ("fix", self.fix)):
            if value is not None:
                lines.append(_labelled(label, str(value)))
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        # The default would rebuild from `what` alone: an error crossing a process pool would arrive without its fix.
        return _rebuild, (type(self), self.what, self.received, self.expected, self.fix)

    def to_json(self) -> dict[str, str | None]:
        """As a JSON object, to be told by another process; see `from_json`."""
        parts = {"received": self.received, "expected": self.expected, "fix": self.fix}
        texts = {name: None if part is None else str(part) for name, part in parts.items()}
        return {"kind": type(self).__name__, "what": self.what, **texts}


class ConfigError(UserError):
    """A configuration with an unknown field, a wrong type or an impossible combination."""


class DataError(UserError):
    """Text, or shards made of it, that cannot be read or cannot be used."""


class TokenizerError(UserError):
    """A tokenizer that is damaged, or whose vocabulary is not the model's."""


class CheckpointError(UserError):
    """A checkpoint folder that is absent, truncated, altered, or made for another configuration."""


class StorageError(UserError):
    """A file or folder that cannot be written or read: no space, no permission, no such path."""


class Unsupported(UserError):
    """A capability that this model, this machine or this release does not have."""


_LABEL_WIDTH = len("received: ")


def _labelled(label: str, text: str) -> str:
    """`label: text`, with every further line of the text under its first."""
    head = f"  {label}:".ljust(2 + _LABEL_WIDTH)
    first, *rest = text.splitlines() or [""]
    return "\n".join([head + first, *(" " * (2 + _LABEL_WIDTH) + line for line in rest)])


def _rebuild(kind: type[UserError], what: str, received: object, expected: object, fix: str | None) -> UserError:
    return kind(what, received=received, expected=expected, fix=fix)


def from_json(values: dict[str, str | None]) -> UserError:
    """The error that `UserError.to_json` was called on, in words."""
    kinds = {kind.__name__: kind for kind in UserError.__subclasses__()}
    return _rebuild(
        kinds.get(str(values["kind"]), UserError),
        str(values["what"]),
        values["received"],
        values["expected"],
        values["fix"],
    )
