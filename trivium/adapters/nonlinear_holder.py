"""What the holders of parts with a non-linearity have in common: no weights of the base can express them."""

from abc import ABC

from trivium.adapters.holder import Holder
from trivium.errors import Unsupported


class NonlinearHolder(Holder, ABC):
    """A holder whose updates cannot be folded into its base."""

    def merge(self, name: str) -> None:
        """Always ``Unsupported``."""
        raise Unsupported("what is not linear cannot be merged into weights", received=name, expected="a LoRA")

    def unmerge(self) -> None:
        raise AssertionError("nothing was merged here")
