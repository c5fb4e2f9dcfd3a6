"""One answer in the making: what was asked, what has come so far, why it ended."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from trivium.errors import ConfigError, DataError, TriviumError
from trivium.generation.adapting import Adapting
from trivium.generation.history import History
from trivium.generation.reading import context_limit
from trivium.generation.sampling import source_of_chance
from trivium.generation.settings import PROCESSORS, Constraints, GenerationSettings
from trivium.generation.stopping import StopText, TokenText

FinishReason = Literal["stop", "length", "cancelled", "failed"]


@dataclass(kw_only=True, eq=False)
class Request:
    """One answer in the making. Two requests are never equal: each is itself."""

    prompt: list[int]
    """Ids to continue; the source of an encoder-decoder."""
    settings: GenerationSettings
    """How to continue it."""
    chance: random.Random
    """Uniform numbers for sampling."""
    adapter: str | None = None
    """The adapter that answers; None for whatever is active."""
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
    """Why the answer ended: an end token or a stop text, its longest length, nobody waited for it any more, or
    ``error``. None before that."""
    error: TriviumError | None = None
    """Why no token could be chosen."""
    _history: History | None = field(default=None, init=False, repr=False)

    def append(self, token: int, log_prob: float) -> None:
        """Takes one more token and notices the end."""
        self.token_ids.append(token)
        self.log_probs.append(log_prob)
        if token in self.settings.eos_ids:
            self.finish_reason = "stop"
        elif self.text is not None:
            self._show(self.text.push(token))
        if self.finish_reason is None and len(self.token_ids) == self.settings.max_new_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None and self.text is not None and not (self.stop and self.stop.stopped):
            self._show(self.text.flush())
            if self.stop is not None and not self.stop.stopped:
                self._keep(self.stop.flush())

    def fail(self, error: TriviumError) -> None:
        """Ends the answer where it cannot go on."""
        self.error, self.finish_reason = error, "failed"

    @cached_property
    def way_of_choosing(self) -> tuple[object, ...]:
        """What of the settings the next token depends on: requests that are alike in it are looked at together."""
        settings = self.settings
        chosen = [getattr(settings, name) for name in PROCESSORS]
        if settings.constraints != Constraints():
            chosen += [settings.max_new_tokens, settings.eos_ids]
        return (*chosen, settings.order)

    def history(self, start_id: int | None) -> History:
        """What the decoder has read: the prompt, or ``start_id`` where the prompt is an encoder's; and the answer."""
        if self._history is None:  # one for the whole answer: it converts what is new, and nothing twice
            self._history = History(self.prompt if start_id is None else [start_id], self.token_ids)
        return self._history

    def _show(self, piece: str) -> None:
        if self.stop is not None:
            piece = self.stop.push(piece)
            if self.stop.stopped:
                self.finish_reason = "stop"
        self._keep(piece)

    def _keep(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)


def requests(
    prompts: Sequence[list[int]], settings: GenerationSettings, *, adapter: str | None = None
) -> list[Request]:
    """``settings.n`` requests a prompt (``best_of`` where that is given), prompt after prompt, each with a source
    of chance of its own."""
    made = []
    for prompt in prompts:
        seed = int(torch.randint(2**62, ())) if settings.seed is None else settings.seed
        for sample in range(settings.search.best_of or settings.n):
            chance = source_of_chance(seed, sample, prompt)
            made.append(Request(prompt=prompt, settings=settings, chance=chance, adapter=adapter))
    return made


def check_requests(
    model: nn.Module, batch: Sequence[Request], *, encoder_decoder: bool, adapting: Adapting | None = None
) -> None:
    """Refuses what could only fail later.

    Raises ``DataError`` for a prompt that is empty or holds an id the model has not, ``ConfigError`` where a prompt
    and its answer do not fit into learned positions.
    """
    config: Any = model.config
    vocabulary_size, limit = config.vocabulary_size, context_limit(model)
    for number, request in enumerate(batch):
        if not request.prompt:
            raise DataError(
                f"prompt {number} has no tokens",
                received="an empty prompt",
                fix="give at least one token to continue, such as the one that begins a text",
            )
        if not 0 <= min(request.prompt) <= max(request.prompt) < vocabulary_size:
            raise DataError(
                f"prompt {number} holds an id that the model does not have",
                received=f"ids from {min(request.prompt)} to {max(request.prompt)}",
                expected=f"0 to {vocabulary_size - 1}",
                fix="encode the prompt with the model's own tokenizer",
            )
        new = request.settings.max_new_tokens
        before = 0 if adapting is None else adapting.prefix_tokens(adapting.resolve(request.adapter))
        needed = max(len(request.prompt), new) if encoder_decoder else before + len(request.prompt) + new - 1
        if limit is not None and needed > limit:
            raise ConfigError(
                f"prompt {number} and its answer do not fit into the model's learned positions",
                received=f"{len(request.prompt)} tokens of prompt and max_new_tokens={new}"
                + (f", after a prefix of {before}" if before else ""),
                expected=f"at most {limit} positions (the last new token takes none)",
                fix=f"lower max_new_tokens by {needed - limit}, or shorten the prompt",
            )
