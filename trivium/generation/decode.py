"""Decoding a batch to its end: the engine, given all its requests at once."""

from collections.abc import Iterator, Sequence

from torch import nn

from trivium.generation.engine import BeginRows, Engine, Routing
from trivium.generation.prefixes import PrefixCache
from trivium.generation.request import Request, check_requests


def decode(
    model: nn.Module,
    batch: Sequence[Request],
    *,
    slots: int | None = None,
    start_id: int | None = None,
    begin: BeginRows | None = None,
    routing: Routing | None = None,
    prefixes: PrefixCache | None = None,
) -> Iterator[None]:
    """Completes every request of ``batch`` in place; yields after each step, so that a caller can stream.

    ``slots`` of them are decoded side by side, all where not given; the other arguments are the ``Engine``'s.

    Raises ``ConfigError`` or ``DataError`` before any work where a prompt is empty, holds an id the model
    has not, or leaves no room; ``NonFiniteError`` where the model's logits are NaN.
    """
    check_requests(model, batch, encoder_decoder=start_id is not None)
    engine = Engine(
        model, slots=slots or len(batch), start_id=start_id, begin=begin, routing=routing, prefixes=prefixes
    )
    engine.submit(batch)
    while not engine.idle:
        engine.step()
        yield
