"""OpenAI's completions: a text that is continued, and, where a server echoes it, the probability of every token
(https://platform.openai.com/docs/api-reference/completions)."""

import itertools
import math
from typing import Any

from trivium.errors import DataError
from trivium.generation.settings import GenerationSettings
from trivium.lm.hosted.failure import MalformedReply, field, shortened
from trivium.lm.hosted.openai_replies import ended, read_choices, read_piece, streamed
from trivium.lm.hosted.providers import Provider
from trivium.lm.hosted.wire import Counted, Piece, Turns, Wire, Written, asked
from trivium.lm.protocol import Score


def _body(model: str, turns: Turns, settings: GenerationSettings, provider: Provider, stream: bool) -> dict[str, Any]:
    ((_, parts),) = turns
    body: dict[str, Any] = {
        "model": model,
        "prompt": "".join(str(part) for part in parts),
        "max_tokens": settings.max_new_tokens,
        **asked(settings, provider),
    }
    if provider.logprobs and not stream:
        body["logprobs"] = 0  # of the tokens that were chosen, and no others
    return streamed(body) if stream else body


def _read(reply: Any) -> tuple[list[Written], Counted]:
    return read_choices(reply, _choice)


def _choice(choice: Any) -> Written:
    told = field(choice, "logprobs", "token_logprobs", kind=list, optional=True) or []
    return Written(
        text=field(choice, "text", kind=str),
        finish_reason=ended(choice),
        logprobs=tuple(float(field(told, at, kind=(int, float))) for at in range(len(told))),
    )


def _piece(event: Any) -> Piece:
    return read_piece(event, lambda choice: field(choice, "text", kind=str))


COMPLETIONS = Wire(path="completions", body=_body, read=_read, piece=_piece)


# Scores --------------------------------------------------------------------------------------------------------------


def score_body(model: str, context: str, continuation: str) -> dict[str, Any]:
    """What asks for the probability of each token of a text. One token has to be written, and is left out again.

    Raises ``DataError`` where there is nothing to score.
    """
    if not continuation:
        raise DataError(
            "there is nothing to score",
            received=f"context {context!r}, continuation {continuation!r}",
            expected="a continuation of at least one token",
        )
    return {
        "model": model,
        "prompt": context + continuation,
        "max_tokens": 1,
        "temperature": 0.0,
        "echo": True,
        "logprobs": 1,
    }


def read_score(reply: Any, context: str, continuation: str) -> Score:
    """The score of a continuation from a reply that echoes its prompt.

    By the conventions of ``trivium.lm.scoring``: white space that ends the context belongs to the continuation, and a
    token that reaches from one into the other is scored. Raises ``MalformedReply`` where the service does not tell.
    """
    told = field(reply, "choices", 0, "logprobs", kind=dict)
    pieces, values, best = (field(told, name, kind=list) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not len(values) == len(best) == len(pieces):
        raise MalformedReply("the service tells different numbers of tokens", received=shortened(str(told)))
    begin, end = len(context.rstrip()), len(context) + len(continuation)
    scored = [
        at
        for at, (start, stop) in enumerate(_spans(told, context + continuation))
        if start < end and (stop > begin or start == stop == begin)
    ]
    if not scored or values[min(scored)] is None:
        raise MalformedReply(
            "the service does not tell the probability of the continuation's first token",
            received=shortened(str(told)),
            expected="a number for every token but the first of the text",
            fix="give the continuation a context: services score no token that nothing stands before",
        )
    log_probs = [float(field(values, at, kind=(int, float))) for at in scored]
    return Score(
        logprob=math.fsum(log_probs),
        is_greedy=all(_is_best(value, best[at]) for value, at in zip(log_probs, scored, strict=True)),
        tokens=len(scored),
    )


def _spans(told: Any, text: str) -> list[tuple[int, int]]:
    """Where each token stands in ``text``.

    Counted from the tokens themselves: what a server puts before a text is echoed too, and counted in its offsets.
    Where they do not spell the text, for some hold a part of a character, its offsets have to do.
    """
    tokens = [field(told, "tokens", at, kind=str) for at in range(len(told["tokens"]))]
    places = [0, *itertools.accumulate(len(token) for token in tokens)]
    before = "".join(tokens).find(text)
    if before >= 0:
        return [(start - before, stop - before) for start, stop in itertools.pairwise(places)]
    starts = [field(told, "text_offset", at, kind=int) for at in range(len(tokens))]
    return list(itertools.pairwise([*starts, len(text)]))


def _is_best(log_prob: float, others: Any) -> bool:
    """Whether none of the tokens that are named beside it is more probable."""
    named = others.values() if isinstance(others, dict) else ()
    return all(log_prob >= other for other in named if isinstance(other, int | float))
