"""Reading prompts: many at once, packed and without padding, into a state that is ready for their answers."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from trivium.data import padding
from trivium.errors import ConfigError
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.state import State
from trivium.runtime import machine

Begin = Callable[[int, int], State]
"""``begin(rows, capacity)``: the state that reading a prompt starts from."""


def read_prompts(model: nn.Module, prompts: Sequence[list[int]], new_tokens: int, begin: Begin) -> tuple[Tensor, State]:
    """The hidden state after each prompt ``[B, D]``, and the state to go on with for ``new_tokens`` of each."""
    lengths = [len(prompt) for prompt in prompts]
    # The last token chosen is never fed back.
    with told_if_too_large(len(prompts), new_tokens):
        state = begin(len(prompts), max(lengths) + new_tokens - 1)
    return read_on(model, prompts, state)


def read_on(
    model: nn.Module,
    rows: Sequence[Sequence[int]],
    state: State,
    routing: Callable[[Tensor | None], AbstractContextManager[None]] = nullcontext,
) -> tuple[Tensor, State]:
    """Appends ``rows[b]`` to row ``b`` of ``state``, and gives the hidden state of each row's last token ``[B, D]``.

    A row may have nothing to append; what stands for its hidden state then means nothing. ``routing`` is entered
    around the model, with the row of each token where they come packed as ``[1, N]``.
    """
    device = device_of(model)
    if len({len(row) for row in rows}) == 1 and (len(rows[0]) == 1 or not bool(state.lengths.any())):
        with routing(None):
            output = model(torch.tensor(rows, device=device), state=state)
        return output.hidden[:, -1], output.state
    tokens = torch.tensor([[token for row in rows for token in row]], device=device)
    ends = torch.tensor([len(row) for row in rows], device=device)
    segments = torch.arange(len(rows), device=device).repeat_interleave(ends)[None]
    with routing(segments):
        output = model(tokens, segments=segments, state=state)
    return output.hidden[0, ends.cumsum(0) - 1], output.state


def read_sources(
    model: nn.Module, sources: Sequence[list[int]], new_tokens: int, start_id: int
) -> tuple[Tensor, State]:
    """The hidden state of the start token ``[B, D]`` over each source, and the state to go on with."""
    output = start_on_sources(model, sources, new_tokens, start_id)
    assert output.state is not None
    return output.hidden[:, 0], output.state


def start_on_sources(
    model: nn.Module, sources: Sequence[list[int]], new_tokens: int, start_id: int, collect: tuple[str, ...] = ()
) -> Output:
    """What a decoder makes of the start token over each source."""
    device = device_of(model)
    tokens, lengths = padded(sources, device)
    with told_if_too_large(len(sources), new_tokens):
        state = model.encode(tokens, lengths, capacity=new_tokens)
    return model(torch.full((len(sources), 1), start_id, device=device), state=state, collect=collect)


# How torch words a size that it cannot allocate, or cannot even count.
_TOO_LARGE = re.compile(r"tried to allocate ([\d.]+ \w+)|(?:size calculation|integer multiplication) overflow", re.I)


@contextmanager
def told_if_too_large(rows: int, new_tokens: int) -> Iterator[None]:
    """Raises ``ConfigError`` where the state that the block makes does not fit into memory."""
    try:
        yield
    except RuntimeError as error:
        found = _TOO_LARGE.search(str(error))
        if found is None:
            raise
        present = machine.total_memory_gib()
        raise ConfigError(
            "the answers do not fit into memory",
            received=f"{rows} prompts with max_new_tokens={new_tokens}: {found[1] or 'too much to count'} in one piece",
            expected=None if present is None else f"less than the machine's {present:,.1f} GiB",
            fix="lower max_new_tokens, or give fewer prompts at once",
        ) from error


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids ``[B, T]`` filled up with 0 at the right, and the true lengths ``[B]``."""
    tokens, lengths = padding.padded(rows)
    return tokens.to(device), lengths.to(device)


def context_limit(model: nn.Module) -> int | None:
    """The longest text the model can hold: the size of its table of learned positions; None where there is none."""
    tables = [module.context_tokens for module in model.modules() if isinstance(module, LearnedPositions)]
    return min(tables, default=None)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters are."""
    return next(model.parameters()).device
