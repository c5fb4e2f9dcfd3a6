"""What every decoder's ``forward`` does between its embeddings and its last norm."""

from collections.abc import Collection, Iterable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.state import State


def through(
    blocks: Iterable[nn.Module],
    x: Float[Tensor, "B T D"],
    layout: Layout,
    *shared: Any,
    state: State | None,
    collect: Collection[str],
) -> tuple[Float[Tensor, "B T _"], dict[str, list[Tensor]]]:
    """What ``blocks`` make of ``x``, and what was asked for on the way; the last may be of another width (ERNIE 3.0).

    Each is called as ``block(x, layout, *shared, cache, probabilities)``: its layer of ``state``, or None, and the list
    that its attention is added to, or None.
    """
    collected: dict[str, list[Tensor]] = {name: [] for name in collect}
    probabilities = collected.get("attention")
    for i, block in enumerate(blocks):
        if "hidden" in collected:
            collected["hidden"].append(x)
        x = block(x, layout, *shared, state.layers[i] if state is not None else None, probabilities)
    if "hidden" in collected:
        collected["hidden"].append(x)
    return x, collected
