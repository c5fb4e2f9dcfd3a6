"""Contrastive search (Su et al. 2022, "A Contrastive Framework for Neural Text Generation", eq. 5).

Of the k most probable tokens the one is taken for which

    (1 - alpha) p(v | x) - alpha max_j cosine(h_v, h_j)

is largest: h_v is the last hidden state that the model would have after v, h_j are those of all tokens before.
A candidate whose hidden state is like an earlier one begins to repeat what was said. Looking at the candidates is a
step of k rows a prompt, and the chosen one's row is where the next step goes on: one forward pass a token.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.generation.processors import History, process
from trivium.generation.reading import Begin, context_limit, device_of, padded, read_sources, told_if_too_large
from trivium.generation.search.candidates import best
from trivium.generation.search.hypothesis import FinishReason, Hypothesis, Stopped, end_of
from trivium.generation.search.reorder import reordered
from trivium.generation.settings import GenerationSettings
from trivium.nn.state import State


@dataclass(kw_only=True)
class _Answer:
    """The answer to one prompt in the making."""

    read: list[int]
    """What the decoder has read before it."""
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    """Equation 5 for each token."""
    finish_reason: FinishReason | None = None
    """None while it goes on."""

    @cached_property
    def history(self) -> History:
        """What the decoder has read so far; it grows with the answer."""
        return History(self.read, self.token_ids)

    def append(
        self, token: int, log_prob: float, score: float, settings: GenerationSettings, stopped: Stopped | None
    ) -> None:
        """Takes one more token and notices the end."""
        self.token_ids.append(token)
        self.log_probs.append(log_prob)
        self.scores.append(score)
        self.finish_reason = end_of(self.read, self.token_ids, settings, stopped)

    def finished(self) -> Hypothesis:
        """The answer with its score."""
        assert self.finish_reason is not None
        return Hypothesis(
            token_ids=self.token_ids,
            log_probs=self.log_probs,
            score=math.fsum(self.scores) / len(self.scores),
            finish_reason=self.finish_reason,
        )


@dataclass(frozen=True, kw_only=True)
class _Past:
    """The directions of all hidden states so far, a row a prompt."""

    directions: Float[Tensor, "P C D"]
    """Of length 1, with room for the whole answer."""
    lengths: Int[Tensor, "P"]

    @classmethod
    def of(cls, hidden: Float[Tensor, "P T D"], lengths: Int[Tensor, "P"], new_tokens: int) -> Self:
        """What was read before the answer."""
        return cls(directions=F.pad(F.normalize(hidden, dim=-1), (0, 0, 0, new_tokens)), lengths=lengths)

    def likeness(self, hidden: Float[Tensor, "P k D"]) -> Float[Tensor, "P k"]:
        """The largest cosine between each candidate and what came before."""
        span = int(self.lengths.max())
        cosines = F.normalize(hidden, dim=-1) @ self.directions[:, :span].mT
        seen = torch.arange(span, device=hidden.device) < self.lengths[:, None]
        return cosines.masked_fill(~seen[:, None], -1.0).amax(-1)

    def append(self, hidden: Float[Tensor, "P D"]) -> Self:
        """With one more token in every row, written in place."""
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        self.directions[rows, self.lengths] = F.normalize(hidden, dim=-1)
        return replace(self, lengths=self.lengths + 1)

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        """Only these rows."""
        if rows.shape[0] == self.lengths.shape[0]:  # they are never reordered
            return self
        return replace(self, directions=self.directions[rows], lengths=self.lengths[rows])


@torch.inference_mode()
def contrastive_search(
    model: nn.Module,
    prompts: Sequence[list[int]],
    settings: GenerationSettings,
    *,
    start_id: int | None = None,
    begin: Begin | None = None,
    stopped: Stopped | None = None,
) -> Generator[None, None, list[list[Hypothesis]]]:
    """The answer to each prompt, ``settings.n`` times since nothing is drawn; yields each step, returns at the end.

    alpha is ``settings.search.contrastive_alpha``, k is ``settings.top_k``; the other arguments are those of
    ``beam_search``. The hidden states of a prompt count as earlier ones, those of an encoder or of a prefix do not.
    An answer's score is the mean of equation 5 over its tokens. Equal candidates are taken in the order of their
    probability, then of their ids. Prompts are checked by ``check_requests`` and not here, but for this: raises
    ``ConfigError`` where the model has no position for the candidates of the last step.
    """
    assert settings.greedy and settings.top_k is not None, settings
    if not prompts:
        return []
    _check_positions(model, prompts, settings, start_id)
    hidden, past, state = _read(model, prompts, settings.max_new_tokens, start_id, begin)
    answers = [_Answer(read=list(prompt) if start_id is None else [start_id]) for prompt in prompts]
    going, rows, same_prompts = answers, torch.arange(len(prompts), device=hidden.device), False
    while True:
        logits = model.head(hidden)
        processed = process(logits, settings, [answer.history for answer in going])
        permitted, ids = best(processed, settings.top_k)
        k = ids.shape[1]
        state = reordered(state, rows.repeat_interleave(k), same_prompts=same_prompts)
        output = model(ids.reshape(-1, 1), state=state)
        ahead = output.hidden[:, 0].unflatten(0, (-1, k))  # [P, k, D]
        log_confidence = permitted - processed.logsumexp(-1, keepdim=True)
        scores = _weighed(log_confidence, past.likeness(ahead), settings.search.contrastive_alpha)
        choice = scores.argmax(-1, keepdim=True)
        log_probs = torch.log_softmax(logits, dim=-1).gather(-1, ids)
        chosen = (each.gather(-1, choice)[:, 0].tolist() for each in (ids, log_probs, scores))
        for answer, token, log_prob, score in zip(going, *chosen, strict=True):
            answer.append(token, log_prob, score, settings, stopped)
        yield
        staying = [place for place, answer in enumerate(going) if answer.finish_reason is None]
        if not staying:
            return [[answer.finished()] * settings.n for answer in answers]
        same_prompts = len(staying) == len(going)
        going = [going[place] for place in staying]
        kept = torch.tensor(staying, device=hidden.device)
        hidden = ahead[kept, choice[kept, 0]]
        past = past.take(kept).append(hidden)
        state, rows = output.state, kept * k + choice[kept, 0]


def _weighed(
    log_confidence: Float[Tensor, "P k"], likeness: Float[Tensor, "P k"], alpha: float
) -> Float[Tensor, "P k"]:
    """Equation 5; -inf for a forbidden token, which has probability 0 and could still win by being unlike the rest."""
    scores = (1 - alpha) * log_confidence.exp() - alpha * likeness
    return scores.masked_fill(log_confidence == float("-inf"), float("-inf"))


def _read(
    model: nn.Module,
    prompts: Sequence[list[int]],
    new_tokens: int,
    start_id: int | None,
    begin: Begin | None,
) -> tuple[Tensor, _Past, State]:
    """The hidden state to begin with ``[P, D]``, all hidden states so far, and the state.

    Every new token is fed to the model, the last one too: there is room for one more than in other searches.
    """
    if start_id is not None:
        hidden, state = read_sources(model, prompts, new_tokens + 1, start_id)
        lengths = torch.ones(len(prompts), dtype=torch.long, device=hidden.device)
        return hidden, _Past.of(hidden[:, None], lengths, new_tokens), state
    tokens, lengths = padded(prompts, device_of(model))
    with told_if_too_large(len(prompts), new_tokens):
        state = (begin or model.new_state)(len(prompts), tokens.shape[1] + new_tokens)
    output = model(tokens, lengths=lengths, state=state)
    assert output.state is not None
    last = output.hidden[torch.arange(len(prompts), device=lengths.device), lengths - 1]
    return last, _Past.of(output.hidden, lengths, new_tokens), output.state


def _check_positions(
    model: nn.Module, prompts: Sequence[list[int]], settings: GenerationSettings, start_id: int | None
) -> None:
    limit = context_limit(model)
    longest = 1 if start_id is not None else max(len(prompt) for prompt in prompts)
    if limit is not None and longest + settings.max_new_tokens > limit:
        raise ConfigError(
            "contrastive search looks one token ahead, and the model's learned positions end before that",
            received=f"{longest} tokens before the answer and max_new_tokens={settings.max_new_tokens}",
            expected=f"at most {limit} positions",
            fix=f"lower max_new_tokens by {longest + settings.max_new_tokens - limit}",
        )
