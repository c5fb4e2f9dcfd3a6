"""Speculative decoding: guess several tokens cheaply, check them in one pass, keep what the model would have said.

The answer has exactly the distribution of ordinary decoding (Leviathan et al. 2023, section 2.3 and appendix A.1; Chen
et al. 2023, algorithm 2); greedy answers are the same tokens. Guesses come from a smaller model, or from the text
itself: what followed the last words the last time they stood there (Saxena 2023, "prompt lookup decoding"; Yang et
al. 2023).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.errors import ConfigError, NonFiniteError
from trivium.generation.history import History
from trivium.generation.reading import Begin, context_limit, device_of, read_prompts
from trivium.generation.request import Request
from trivium.generation.sampling import choose, pick, probabilities
from trivium.generation.settings import Constraints
from trivium.nn.state import State

MOST_AHEAD = 10
"""Tokens that are guessed at once, at the most. Every wrong guess was computed for nothing."""


@runtime_checkable
class Draft(Protocol):
    """Guesses how one answer goes on."""

    least_ahead: int
    """Guesses worth making whatever became of the last: many where they cost nothing but their verification."""

    def propose(self, ids: Sequence[int], count: int) -> tuple[list[int], Float[Tensor, "N V"] | None]:
        """At most ``count`` tokens after ``ids`` (the prompt and the answer so far), and the distribution that each
        was drawn from; None where they were not drawn but are certain of themselves."""
        ...


class PromptLookup:
    """What followed the last ``longest`` tokens, or fewer, where they stood before."""

    least_ahead = 8

    def __init__(self, longest: int = 3) -> None:
        assert longest > 0, longest
        self._longest = longest
        self._ends: dict[tuple[int, ...], int] = {}  # where each run of tokens that was followed by another last ended
        self._indexed = 0

    def propose(self, ids: Sequence[int], count: int) -> tuple[list[int], None]:
        for end in range(self._indexed + 1, len(ids)):
            for size in range(1, min(self._longest, end) + 1):
                self._ends[tuple(ids[end - size : end])] = end
        self._indexed = max(self._indexed, len(ids) - 1)
        for size in range(min(self._longest, len(ids)), 0, -1):
            end = self._ends.get(tuple(ids[-size:]))
            if end is not None:
                return list(ids[end : end + count]), None
        return [], None


class ModelDraft:
    """The tokens a smaller model would choose, by the request's own settings and chance."""

    least_ahead = 1

    def __init__(self, model: nn.Module, request: Request) -> None:
        self._model, self._request = model, request
        self._state: State = model.new_state(1, len(request.prompt) + request.settings.max_new_tokens + MOST_AHEAD)
        self._read: list[int] = []

    def propose(self, ids: Sequence[int], count: int) -> tuple[list[int], Float[Tensor, "N V"] | None]:
        common = next((i for i, (a, b) in enumerate(zip(self._read, ids, strict=False)) if a != b), len(self._read))
        common = min(common, len(ids) - 1)  # the last token is read again, for what comes after it
        if common < len(self._read):
            self._state = self._state.rollback(torch.full_like(self._state.lengths, common))
        fed, guesses, distributions = list(ids[common:]), [], []
        new = self._request.token_ids
        for _ in range(count):
            output = self._model(torch.tensor([fed], device=device_of(self._model)), state=self._state)
            self._state = output.state
            history = History(self._request.prompt, [*new, *guesses])
            logits = self._model.head(output.hidden[:, -1])
            distribution = probabilities(logits, self._request.settings, [history])
            guesses.append(_drawn(distribution, self._request))
            distributions.append(distribution)
            fed = guesses[-1:]
        self._read = [*ids, *guesses[:-1]]
        return guesses, torch.cat(distributions) if distributions else None


def check_draft(model: nn.Module, draft: nn.Module, request: Request) -> None:
    """Refuses a draft model before it is asked: ``ConfigError`` where it speaks of other tokens or has no positions for
    the answer, ``Unsupported`` where its state cannot be rolled back."""
    ours, theirs = model.config.vocabulary_size, draft.config.vocabulary_size
    if ours != theirs:
        raise ConfigError(
            "the draft model has another vocabulary",
            received=f"{theirs} tokens",
            expected=f"{ours} tokens, those of the model it drafts for",
            fix="draft with a smaller model that has the same tokenizer",
        )
    limit, needed = context_limit(draft), len(request.prompt) + request.settings.max_new_tokens - 1
    if limit is not None and needed > limit:
        raise ConfigError(
            "the prompt and its answer do not fit into the draft model's learned positions",
            received=f"{len(request.prompt)} tokens of prompt and max_new_tokens={request.settings.max_new_tokens}",
            expected=f"at most {limit} positions",
            fix='draft with another model, or draft="lookup"',
        )
    state = draft.new_state(1, 1)
    state.rollback(state.lengths)


def speculate(
    model: nn.Module, request: Request, draft: Draft, begin: Begin, *, most: int = MOST_AHEAD
) -> Iterator[None]:
    """Completes ``request`` in place; yields after each pass of the model, in which several tokens may have come.

    Raises ``Unsupported`` for a model whose state cannot be rolled back (a recurrent one), ``NonFiniteError`` where
    the logits are NaN.
    """
    state, ahead = _first(model, request, begin), min(most, max(4, draft.least_ahead))
    yield
    while request.finish_reason is None:
        state, ahead = _next(model, request, draft, state, ahead, most)
        yield


@torch.inference_mode()
def _first(model: nn.Module, request: Request, begin: Begin) -> State:
    """Reads the prompt and chooses one token."""
    hidden, state = read_prompts(model, [request.prompt], request.settings.max_new_tokens, begin)
    state.rollback(state.lengths)  # refused here, and not after the first wrong guess
    _accept(model.head(hidden), request, [], None)
    return state


@torch.inference_mode()
def _next(model: nn.Module, request: Request, draft: Draft, state: State, ahead: int, most: int) -> tuple[State, int]:
    """Guesses ``ahead`` tokens and checks them: the state, and how far to look ahead next time."""
    ids = [*request.prompt, *request.token_ids]
    # One token more comes of the model itself, and the last one is never fed back.
    room = request.settings.max_new_tokens - len(request.token_ids) - 1
    guesses, distributions = draft.propose(ids, min(ahead, room)) if room else ([], None)
    before = state.lengths
    output = model(torch.tensor([[ids[-1], *guesses]], device=before.device), state=state)
    accepted = _accept(model.head(output.hidden[0]), request, guesses, distributions)
    if guesses:  # as long a look ahead as pays: longer after success, shorter after failure
        ahead = min(most, ahead + 2) if accepted == len(guesses) else max(min(most, draft.least_ahead), ahead - 1)
    return output.state.rollback(before + 1 + accepted), ahead


def _accept(logits: Tensor, request: Request, guesses: list[int], q: Tensor | None) -> int:
    """Appends the guesses that stand, and one token more where all the answer wants it; how many guesses stood.

    ``logits [n + 1, V]``: after the last known token and after each of the ``n`` guesses. ``q [n, V]``: what the
    guesses were drawn from.
    """
    log_probs = torch.log_softmax(logits, dim=-1)
    new = list(request.token_ids)
    histories = [History(request.prompt, [*new, *guesses[:count]]) for count in range(len(guesses) + 1)]
    # What constraints forbid after a guess that does not stand is nobody's business, so they are asked row by row.
    size = len(histories) if request.settings.constraints == Constraints() else 1
    chosen: list[Tensor] = []
    for place in range(len(histories)):
        if place == len(chosen):
            rows = slice(place, place + size)
            chosen += _chosen(logits[rows], request, histories[rows]).unbind()
        row = chosen[place]
        token = int(row) if request.settings.greedy else _verdict(row, guesses, q, place, request)
        log_prob = float(log_probs[place, token])
        if log_prob != log_prob:
            raise NonFiniteError("the model's logits are not numbers (NaN or infinite): no token can be chosen")
        request.append(token, log_prob)
        stood = place < len(guesses) and token == guesses[place]
        if request.finish_reason is not None or not stood:
            return place + stood
    raise AssertionError("the last token is no guess")


def _chosen(logits: Tensor, request: Request, histories: Sequence[History]) -> Tensor:
    """The token of each row ``[N]`` where greedy, else the distribution to draw it from ``[N, V]``."""
    if request.settings.greedy:
        return choose(logits, request.settings, [], histories)[0]
    return probabilities(logits, request.settings, histories)


def _verdict(p: Tensor, guesses: list[int], q: Tensor | None, place: int, request: Request) -> int:
    """The guess with probability min(1, p/q), else a draw from what p has more than q; without a guess, one from p."""
    if place == len(guesses):
        return _drawn(p[None], request)
    guess = guesses[place]
    claimed = 1.0 if q is None else float(q[place, guess])
    if request.chance.random() * claimed < float(p[guess]):
        return guess
    if q is None:
        rest = p.clone()
        rest[guess] = 0.0
    else:
        rest = (p - q[place]).clamp_min(0)
    # Equal up to rounding, the two leave nothing; then p itself is as good.
    return _drawn((rest if float(rest.sum()) > 0 else p)[None], request)


def _drawn(distribution: Tensor, request: Request) -> int:
    uniform = torch.tensor([request.chance.random()], dtype=torch.float64, device=distribution.device)
    return int(pick(distribution, uniform))
