"""Different adapters for different rows of one batch: one pass over the base, small gathered updates on top."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of, first_weight


@contextmanager
def route(
    model: nn.Module, rows: Sequence[str | None], *, segments: Int[Tensor, "1 N"] | None = None
) -> Iterator[None]:
    """Inside the context, row ``b`` of every batch uses the adapter ``rows[b]``, or none.

    In a ragged step (tokens ``[1, N]``), ``segments`` names the row of each token, as it does for the model. Prefixes
    may be named too: they act through the state (``prefix.begin``) and change nothing here. A backward pass that
    recomputes (activation checkpointing) belongs inside the context as well. Raises ``ConfigError`` for an unknown name
    and ``Unsupported`` while an adapter is merged.
    """
    adapters = adapters_of(model)
    adapters.require_unmerged("routing rows")
    for name in {name for name in rows if name is not None}:
        adapters.require(name)
    device = first_weight(model).device
    numbers = {name: i for i, name in enumerate(adapters.configs)}
    chosen = torch.tensor([-1 if name is None else numbers[name] for name in rows], device=device)
    if segments is not None:
        chosen = chosen[segments[0]]
    routing = adapters.routing
    before = routing.rows, routing.extent, routing.ragged
    routing.rows = {name: (chosen == numbers[name]).nonzero()[:, 0] for name in dict.fromkeys(rows) if name is not None}
    routing.extent, routing.ragged = chosen.shape[0], segments is not None
    try:
        yield
    finally:
        routing.rows, routing.extent, routing.ragged = before


def activate(model: nn.Module, name: str | None) -> None:
    """The adapter that every row uses while no rows are routed; ``None`` for the bare model."""
    adapters = adapters_of(model)
    adapters.require_unmerged("changing the active adapter")
    if name is not None:
        adapters.require(name)
    adapters.routing.active = name


@contextmanager
def using(model: nn.Module, name: str | None) -> Iterator[None]:
    """Inside the context every row uses the adapter ``name``; with ``None`` all stays as it is.

    Raises ``ConfigError`` for a name that is not attached.
    """
    if name is None:
        yield
        return
    before = adapters_of(model).routing.active
    activate(model, name)
    try:
        yield
    finally:
        activate(model, before)
