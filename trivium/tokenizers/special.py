"""The special tokens of a vocabulary: the ids that structure a sequence and that no user's text may produce."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Which special tokens a new vocabulary gets; they take its first ids, in this order.

    There is no token for "unknown": a byte-level vocabulary needs none, and a character vocabulary uses the
    replacement character U+FFFD, an ordinary token that decodes to itself and so stays visible.
    """

    bos: str = "<|begin|>"
    """Stands before every document. It gives the first real token something to be predicted from."""
    eos: str = "<|end|>"
    """Stands after every document and every turn of a chat; generation stops on it."""
    pad: str = "<|pad|>"
    """Fills rows for programs that want it. Never equal to ``eos``: a loss that masks by pad id would hide the end."""
    roles: tuple[str, ...] = ("<|system|>", "<|user|>", "<|assistant|>")
    """Opens the turn of each speaker of a chat."""

    def __iter__(self) -> Iterator[str]:
        yield from (self.bos, self.eos, self.pad, *self.roles)

    def __len__(self) -> int:
        return 3 + len(self.roles)
