"""Rows of a state from one step of a search to the next."""

import torch
from jaxtyping import Int
from torch import Tensor

from trivium.nn.state import State


def reordered(state: State, rows: Int[Tensor, "R"], *, same_prompts: bool) -> State:
    """``state.take(rows)``, without copying what need not be copied.

    ``same_prompts``: there are as many rows as before and each goes on with the prompt it had. What was read of a
    source is then left alone: it is the same for all rows of a prompt, and larger than the rest.
    """
    if not same_prompts:
        return state.take(rows)
    assert rows.shape[0] == state.rows, (rows.shape, state.rows)
    if torch.equal(rows, torch.arange(state.rows, device=rows.device)):
        return state
    return state.reorder(rows)
