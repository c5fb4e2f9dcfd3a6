"""Different adapters for different rows of one batch: one pass over the base, small gathered updates on top."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from trivium.adapters.adapter_set import Routing, adapters_of, first_weight, has_adapters


@contextmanager
def route(
    model: nn.Module, rows: Sequence[str | None], *, segments: Int[Tensor, "1 N"] | None = None
) -> Iterator[None]:
    """Inside the context, row ``b`` of every batch uses the adapter ``rows[b]``, or none.

    In a ragged step (tokens ``[1, N]``), ``segments`` names the row of each token, as it does for the model. Prefixes
    may be named too: they act through the state (``beginning.begin``) and change nothing here. A backward pass that
    recomputes (activation checkpointing) belongs inside the context as well. Raises ``ConfigError`` for an unknown name
    and ``Unsupported`` while an adapter is merged.
    """
    adapters = adapters_of(model)
    adapters.require_unmerged("routing rows")
    for name in {name for name in rows if name is not None}:
        adapters.require(name)
    device = first_weight(model).device
    numbers = {name: i for i, name in enumerate(dict.fromkeys(name for name in rows if name is not None))}
    chosen = torch.tensor([-1 if name is None else numbers[name] for name in rows], device=device)
    if segments is not None:
        chosen = chosen[segments[0]]
    routing = adapters.routing
    before = routing.rows, routing.groups, routing.used, routing.extent, routing.ragged
    routing.rows = {name: (chosen == number).nonzero()[:, 0] for name, number in numbers.items()}
    routing.groups, routing.used = {}, {}
    routing.extent, routing.ragged = chosen.shape[0], segments is not None
    try:
        yield
    finally:
        routing.rows, routing.groups, routing.used, routing.extent, routing.ragged = before


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

    Raises ``ConfigError`` for a name that is not attached, ``Unsupported`` while another one is merged.
    """
    if name is None or adapters_of(model).routing.active == name:  # merged or not
        yield
        return
    before = adapters_of(model).routing.active
    activate(model, name)
    try:
        yield
    finally:
        activate(model, before)


@contextmanager
def unadapted(routing: Routing) -> Iterator[None]:
    """Inside the context no layer applies an adapter: what an adapter itself shows the model is no row of a batch."""
    before = routing.active, routing.rows
    routing.active = routing.rows = None
    try:
        yield
    finally:
        routing.active, routing.rows = before


@contextmanager
def bare(model: nn.Module) -> Iterator[None]:
    """As ``unadapted``, for a model that may have no adapters at all."""
    if not has_adapters(model):
        yield
        return
    with unadapted(adapters_of(model).routing):
        yield
