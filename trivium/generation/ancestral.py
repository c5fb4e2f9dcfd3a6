"""Whole batches of texts from a model's own distribution, token by token, with no other processing.

Where the engine serves requests, each with settings and an end of its own, here all rows are alike and as long as is
asked for: what a generator of texts is trained and measured on. Chance is torch's default generator, or one that is
given.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.inverse_cdf import draw
from trivium.nn.state import State


@torch.no_grad()
def sample(
    model: nn.Module,
    start: Int[Tensor, "B P"],
    length: int,
    *,
    temperature: float = 1.0,
    chance: torch.Generator | None = None,
) -> Int[Tensor, "B T"]:
    """`length` tokens for each row after `start`, which is not given back; from softmax(logits / `temperature`).

    Dropout is as the model stands. Equal states of `chance` give equal texts on every device; it may be the CPU's.
    """
    output = model(start, state=model.new_state(start.shape[0], start.shape[1] + length - 1))
    return continued(model, output.hidden[:, -1], output.state, length, temperature=temperature, chance=chance)


@torch.no_grad()
def continued(
    model: nn.Module,
    last: Float[Tensor, "B D"],
    state: State,
    length: int,
    *,
    temperature: float = 1.0,
    chance: torch.Generator | None = None,
) -> Int[Tensor, "B T"]:
    """`length` more tokens; `last` is the hidden state of the newest one in `state`."""
    source = last.device if chance is None else chance.device
    tokens: list[Tensor] = []
    while True:
        logits = model.head.logits(last)
        if temperature != 1.0:  # a pass over all logits
            logits = logits / temperature
        kind = torch.promote_types(logits.dtype, torch.float32)
        uniforms = torch.rand(logits.shape[0], dtype=kind, device=source, generator=chance)
        tokens.append(draw(logits, uniforms.to(logits.device)))
        if len(tokens) == length:
            return torch.stack(tokens, dim=1)
        output = model(tokens[-1][:, None], state=state)
        last, state = output.hidden[:, -1], output.state
