"""What decoding needs to know of adapters, which live beside it: which one answers, and what it begins with."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from trivium.nn.state import State


@runtime_checkable
class Adapting(Protocol):
    """A model's adapters, as the engine sees them."""

    def resolve(self, adapter: str | None) -> str | None:
        """The adapter that answers where this one is asked for: None stands for whichever is active."""
        ...

    def prefix_tokens(self, adapter: str | None) -> int:
        """Positions that it puts before every text."""
        ...

    def begin(self, adapters: Sequence[str | None], capacity: int) -> State:
        """The state that texts of at most ``capacity`` tokens are read into, a row an adapter, prefixes in place."""
        ...

    def routing(self, adapters: Sequence[str | None], segments: Tensor | None) -> AbstractContextManager[None]:
        """Inside, row ``b`` uses ``adapters[b]``; ``segments [1, N]`` names the rows of packed tokens."""
        ...


class Unadapted:
    """A model as it is."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def resolve(self, adapter: str | None) -> str | None:
        return adapter

    def prefix_tokens(self, adapter: str | None) -> int:
        return 0

    def begin(self, adapters: Sequence[str | None], capacity: int) -> State:
        return self._model.new_state(len(adapters), capacity)

    def routing(self, adapters: Sequence[str | None], segments: Tensor | None) -> AbstractContextManager[None]:
        return nullcontext()
