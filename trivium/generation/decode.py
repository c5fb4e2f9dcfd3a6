"""Decoding a batch to its end: the engine, given all its requests at once."""

from collections.abc import Iterator, Sequence

from torch import nn

from trivium.generation.adapting import Adapting
from trivium.generation.engine import Engine
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request


def decode(
    model: nn.Module,
    batch: Sequence[Request],
    *,
    slots: int | None = None,
    start_id: int | None = None,
    adapting: Adapting | None = None,
    prefixes: PrefixCache | None = None,
) -> Iterator[None]:
    """Completes every request of ``batch`` in place; yields after each step, so that a caller can stream.

    ``slots`` of them are decoded side by side, all where not given; the other arguments are the ``Engine``'s.

    Raises ``ConfigError`` or ``DataError`` before any work where a prompt is empty, holds an id the model
    has not, or leaves no room; and what ``Request.error`` says of the first answer that cannot go on.
    """
    engine = Engine(model, slots=slots or len(batch), start_id=start_id, adapting=adapting, prefixes=prefixes)
    engine.submit(batch)
    while not engine.idle:
        for request in engine.step():
            if request.error is not None:
                raise request.error
        yield
