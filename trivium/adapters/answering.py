"""A model's adapters as decoding needs them: which one answers, what it begins with, whose row is whose."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from trivium.adapters import beginning
from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.routing import route, using
from trivium.nn.state import State


class Answering:
    """The adapters of ``model``, also where it has none; ``trivium.generation.adapting`` says what each verb means."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def resolve(self, adapter: str | None) -> str | None:
        """``ConfigError`` for a name that is not attached."""
        if adapter is not None:
            adapters_of(self._model).require(adapter)
            return adapter
        return adapters_of(self._model).routing.active if has_adapters(self._model) else None

    def prefix_tokens(self, adapter: str | None) -> int:
        return beginning.prefix_tokens(self._model, adapter)

    def begin(self, adapters: Sequence[str | None], capacity: int) -> State:
        return beginning.begin_active(self._model, adapters, capacity)

    def routing(self, adapters: Sequence[str | None], segments: Tensor | None) -> AbstractContextManager[None]:
        """One adapter for all is made the active one: wrapped layers are fastest then."""
        if len(set(adapters)) == 1:
            return using(self._model, adapters[0])
        return route(self._model, adapters, segments=segments)
