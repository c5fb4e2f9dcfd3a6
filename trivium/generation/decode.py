"""Batch decoding with a cache, over any model that has one: prompts of unequal length, one token a row a step.

Prompts are read packed, without padding; after that every step is one token of every unfinished row.
The state is allocated once, for the longest prompt and its answer. Rows that end are dropped from the
batch when enough of them have.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trivium.errors import ConfigError, DataError, NonFiniteError
from trivium.generation.sampling import choose, source_of_chance
from trivium.generation.settings import GenerationSettings
from trivium.generation.stopping import StopText, TokenText
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.state import State
from trivium.runtime import machine

FinishReason = Literal["stop", "length"]

Begin = Callable[[int, int], State]
"""``begin(rows, capacity)``: the state that reading a prompt starts from."""

# Dropping rows copies the cache, about as much traffic as two steps' attention; a finished row costs its share of
# every step to come.
COMPACT_SHARE = 0.25


@dataclass(kw_only=True)
class Request:
    """One answer in the making."""

    prompt: list[int]
    """Ids to continue; the source of an encoder-decoder."""
    chance: random.Random
    """Uniform numbers for sampling."""
    text: TokenText | None = None
    """Makes the text as tokens come, where a stop text or a stream needs it."""
    stop: StopText | None = None
    """Looks for stop texts in it."""
    token_ids: list[int] = field(default_factory=list)
    """New tokens, the end token included."""
    log_probs: list[float] = field(default_factory=list)
    """Natural log-probability of each in the unprocessed distribution."""
    pieces: list[str] = field(default_factory=list)
    """The text so far, where ``text`` is given; what a stop text may still swallow is not in it."""
    finish_reason: FinishReason | None = None
    """Why the answer ended: an end token or a stop text, or its longest length. None before that."""

    def append(self, token: int, log_prob: float, settings: GenerationSettings) -> None:
        """Takes one more token and notices the end."""
        self.token_ids.append(token)
        self.log_probs.append(log_prob)
        if token in settings.eos_ids:
            self.finish_reason = "stop"
        elif self.text is not None:
            self._show(self.text.push(token))
        if self.finish_reason is None and len(self.token_ids) == settings.max_new_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None and self.text is not None and not (self.stop and self.stop.stopped):
            self._show(self.text.flush())
            if self.stop is not None and not self.stop.stopped:
                self._keep(self.stop.flush())

    def _show(self, piece: str) -> None:
        if self.stop is not None:
            piece = self.stop.push(piece)
            if self.stop.stopped:
                self.finish_reason = "stop"
        self._keep(piece)

    def _keep(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)


def requests(prompts: Sequence[list[int]], settings: GenerationSettings) -> list[Request]:
    """``settings.n`` requests a prompt, prompt after prompt, each with its own source of chance."""
    made = []
    for prompt in prompts:
        seed = int(torch.randint(2**62, ())) if settings.seed is None else settings.seed
        made += [Request(prompt=prompt, chance=source_of_chance(seed, sample)) for sample in range(settings.n)]
    return made


@torch.inference_mode()
def decode(
    model: nn.Module,
    batch: Sequence[Request],
    settings: GenerationSettings,
    *,
    start_id: int | None = None,
    begin: Begin | None = None,
) -> Iterator[None]:
    """Completes every request of ``batch`` in place; yields after each step, so that a caller can stream.

    ``batch`` is as ``requests`` makes it: a prompt is read once for its ``settings.n`` answers.
    ``start_id`` is given for encoder-decoders: prompts are then sources, and answers begin after that
    token. ``begin(rows, capacity)`` makes the state of a decoder where it does not begin empty (a prefix).

    Raises ``ConfigError`` or ``DataError`` before any work where a prompt is empty, holds an id the model
    has not, or leaves no room; ``NonFiniteError`` where the model's logits are NaN.
    """
    check_requests(model, batch, settings, encoder_decoder=start_id is not None)
    active = list(batch)
    prompts = [request.prompt for request in batch[:: settings.n]]
    if start_id is None:
        begin = begin or (lambda rows, capacity: model.new_state(rows, capacity))
        hidden, state = _read_prompts(model, prompts, settings.max_new_tokens, begin)
    else:
        hidden, state = _read_sources(model, prompts, settings.max_new_tokens, start_id)
    if settings.n > 1:
        answers = torch.arange(hidden.shape[0], device=hidden.device).repeat_interleave(settings.n)
        hidden, state = hidden[answers], state.take(answers)
    while True:
        ids, log_probs = choose(model.head(hidden), settings, [request.chance for request in active])
        for request, token, log_prob in zip(active, ids.tolist(), log_probs.tolist(), strict=True):
            if log_prob != log_prob:
                raise NonFiniteError("the model's logits are not numbers (NaN or infinite): no token can be chosen")
            if request.finish_reason is None:
                request.append(token, log_prob, settings)
        yield
        running = [row for row, request in enumerate(active) if request.finish_reason is None]
        if not running:
            return
        if len(active) - len(running) >= COMPACT_SHARE * len(active):
            rows = torch.tensor(running, device=ids.device)
            active, ids, state = [active[row] for row in running], ids[rows], state.take(rows)
        output = model(ids[:, None], state=state)
        hidden, state = output.hidden[:, 0], output.state


def _read_prompts(model: nn.Module, prompts: list[list[int]], new_tokens: int, begin: Begin) -> tuple[Tensor, State]:
    """The hidden state after each prompt ``[B, D]`` and the state to go on with."""
    device = _device(model)
    lengths = [len(prompt) for prompt in prompts]
    # The last token chosen is never fed back.
    with _told_if_too_large(len(prompts), new_tokens):
        state = begin(len(prompts), max(lengths) + new_tokens - 1)
    if min(lengths) == max(lengths):
        output = model(torch.tensor(prompts, device=device), state=state)
        return output.hidden[:, -1], output.state
    tokens = torch.tensor([[token for prompt in prompts for token in prompt]], device=device)
    ends = torch.tensor(lengths, device=device)
    rows = torch.arange(len(prompts), device=device).repeat_interleave(ends)
    output = model(tokens, segments=rows[None], state=state)
    return output.hidden[0, ends.cumsum(0) - 1], output.state


def _read_sources(model: nn.Module, sources: list[list[int]], new_tokens: int, start_id: int) -> tuple[Tensor, State]:
    """The hidden state of the start token ``[B, D]`` over each source, and the state to go on with."""
    device = _device(model)
    tokens, lengths = padded(sources, device)
    with _told_if_too_large(len(sources), new_tokens):
        state = model.encode(tokens, lengths, capacity=new_tokens)
    start = torch.full((len(sources), 1), start_id, device=device)
    output = model(start, state=state)
    return output.hidden[:, 0], output.state


# How torch words a size that it cannot allocate, or cannot even count.
_TOO_LARGE = re.compile(r"tried to allocate ([\d.]+ \w+)|(?:size calculation|integer multiplication) overflow", re.I)


@contextlib.contextmanager
def _told_if_too_large(rows: int, new_tokens: int) -> Iterator[None]:
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
    lengths = torch.tensor([len(row) for row in rows], device=device)
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row)
    return tokens.to(device), lengths


def context_limit(model: nn.Module) -> int | None:
    """The longest text the model can hold: the size of its table of learned positions; None where there is none."""
    tables = [module.context_tokens for module in model.modules() if isinstance(module, LearnedPositions)]
    return min(tables, default=None)


def check_requests(
    model: nn.Module, batch: Sequence[Request], settings: GenerationSettings, *, encoder_decoder: bool
) -> None:
    """Refuses what could only fail later: see ``decode``."""
    config: Any = model.config
    vocabulary_size, limit = config.vocabulary_size, context_limit(model)
    for number, request in enumerate(batch):
        if not request.prompt:
            raise DataError(
                f"prompt {number} has no tokens",
                received="an empty prompt, and a vocabulary without a token that begins a text",
                fix="give at least one token to continue",
            )
        if not 0 <= min(request.prompt) <= max(request.prompt) < vocabulary_size:
            raise DataError(
                f"prompt {number} holds an id that the model does not have",
                received=f"ids from {min(request.prompt)} to {max(request.prompt)}",
                expected=f"0 to {vocabulary_size - 1}",
                fix="encode the prompt with the model's own tokenizer",
            )
        new = settings.max_new_tokens
        needed = max(len(request.prompt), new) if encoder_decoder else len(request.prompt) + new - 1
        if limit is not None and needed > limit:
            raise ConfigError(
                f"prompt {number} and its answer do not fit into the model's learned positions",
                received=f"{len(request.prompt)} tokens of prompt and max_new_tokens={new}",
                expected=f"at most {limit} positions (the last new token takes none)",
                fix=f"lower max_new_tokens by {needed - limit}, or shorten the prompt",
            )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
