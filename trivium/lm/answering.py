"""What a text says to a question: by a head that marks a span of it, or by a model that writes the answer.

A span head reads [CLS] question [SEP] context [SEP] and scores every position as the start and as the end of the
answer (Devlin et al. 2019, section 4.2). A context that does not fit is read in windows that overlap, and the best
legal span of all of them is the answer: one that lies within the context, does not end before it starts, and is not
longer than allowed. Where a text may have no answer (section 4.3), the position of [CLS] stands for that.

A model that writes is given "question: ... context: ..." (Raffel et al. 2020, appendix D.15).
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.data.context_windows import context_of, context_windows
from trivium.errors import ConfigError, DataError, NonFiniteError
from trivium.lm.capabilities import head_of
from trivium.lm.protocol import Answer, Generation
from trivium.lm.reading import at_most, longest_row, read_hidden
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

STRIDE_TOKENS = 128
"""Tokens from the beginning of one window to that of the next, as in the code published with BERT."""


def question_text(question: str, context: str) -> str:
    """What a model that writes answers is given."""
    return f"question: {question} context: {context}"


def answer_all(
    network: nn.Module,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[str, str]],
    generate: Callable[..., Sequence[Generation]],
    *,
    longest_answer: int,
    no_answer: bool,
    context_tokens: int | None,
) -> list[Answer]:
    """The answer to each (question, context): marked by a network with a head for it, else written by ``generate``."""
    if longest_answer < 1:
        raise ConfigError("no answer is so short", received=longest_answer, expected="1 or more")
    if head_of(network.config) != "span":
        return write_answers(functools.partial(generate, max_new_tokens=longest_answer), asked)
    return answer_spans(
        network,
        tokenizer,
        asked,
        longest_answer=longest_answer,
        no_answer=no_answer,
        context_tokens=context_tokens,
    )


def write_answers(
    generate: Callable[[list[str]], Sequence[Generation]], asked: Sequence[tuple[str, str]]
) -> list[Answer]:
    """The answer that is written to each (question, context); ``generate`` writes a text for each."""
    written = generate([question_text(*one) for one in asked]) if asked else []
    return [
        written_answer(context, one.text.strip(), math.exp(math.fsum(one.logprobs)))
        for (_, context), one in zip(asked, written, strict=True)
    ]


def written_answer(context: str, text: str, probability: float) -> Answer:
    """An answer that was written, with its first place in the context where it stands there."""
    start = context.find(text) if text else -1
    found = start >= 0
    return Answer(
        text=text, start=start if found else None, end=start + len(text) if found else None, probability=probability
    )


@torch.inference_mode()
def answer_spans(
    network: nn.Module,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[str, str]],
    *,
    longest_answer: int,
    no_answer: bool,
    context_tokens: int | None = None,
    stride_tokens: int = STRIDE_TOKENS,
) -> list[Answer]:
    """For each (question, context) the best span of the context, or with ``no_answer`` perhaps none.

    ``context_tokens`` are read at once, and no more than the network holds.

    The probability is that of the span among all legal ones of the context, and none if that may be: the softmax of
    their scores, which are the sum of the logits of start and end, the larger one where two windows hold the span.

    Raises ``DataError`` for a context without tokens, and for a question that leaves too little room for the context;
    ``NonFiniteError`` for weights that give no numbers.
    """
    joined, longest = tokenizer.encode_joined(list(asked), offsets=True), at_most(context_tokens, longest_row(network))
    places = [_context_places(row, number) for number, row in enumerate(joined)]
    windows = [
        (number, window)
        for number, row in enumerate(joined)
        for window in context_windows(
            row,
            places[number],
            longest=_room_checked(number, row, places[number], longest),
            stride=stride_tokens,
            cls_id=tokenizer.cls_id,
        )
    ]
    spans = [torch.full((len(place), longest_answer), float("-inf"), dtype=torch.float64) for place in places]
    none = [float("inf")] * len(joined)
    for chosen, hidden, lengths in read_hidden(network, [window.row for _, window in windows]):
        scores = network.span.scores(hidden, lengths).double().cpu()
        for place, score in zip(chosen, scores, strict=True):
            asking, window = windows[place]
            # A window that holds no answer says so; that there is none, all of them must say (section 4.3).
            none[asking] = min(none[asking], float(score[window.none].sum()))
            inside = score[window.before : window.before + window.size]
            _keep_larger(spans[asking][window.first : window.first + window.size], inside)
    return [
        _best(context, [row.offsets[at] for at in place], found, nothing if no_answer else None)
        for (_, context), row, place, found, nothing in zip(asked, joined, places, spans, none, strict=True)
    ]


def _context_places(row: Joined, number: int) -> range:
    """Where in the row the context stands."""
    places = context_of(row)
    if not places:
        raise DataError(
            "a context has no text in it",
            received=f"context {number}",
            fix="give each question a text to be answered from",
        )
    return places


def _room_checked(asked: int, row: Joined, places: range, longest: int | None) -> int | None:
    """``longest``, where a window of it leaves room enough for the context."""
    around = len(row.ids) - len(places)
    if longest is not None and longest - around < len(places) and longest - around <= around:
        raise DataError(
            "a question leaves too little room for its context",
            received=f"question {asked}, of {around} tokens",
            expected=f"less than half of the {longest} tokens that the model reads at once",
            fix="ask it in fewer words",
        )
    return longest


def _keep_larger(known: Float[Tensor, "C L"], scores: Float[Tensor, "C 2"]) -> None:
    """In place: ``known[c, l]`` is the best score so far of the span of ``l + 1`` tokens that begins at ``c``."""
    size = len(scores)
    for length in range(min(known.shape[1], size)):
        sums = scores[: size - length, 0] + scores[length:, 1]
        torch.maximum(known[: size - length, length], sums, out=known[: size - length, length])


def _best(context: str, offsets: Sequence[tuple[int, int]], spans: Float[Tensor, "C L"], none: float | None) -> Answer:
    flat = spans.flatten()
    if none is not None:
        flat = torch.cat([flat, torch.tensor([none], dtype=flat.dtype)])
    if bool(flat.isnan().any()) or not bool(flat.max().isfinite()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be answered")
    probabilities = torch.softmax(flat, dim=0)
    best = int(flat.argmax())
    probability = float(probabilities[best])
    if best == spans.numel():
        return Answer(text="", start=None, end=None, probability=probability)
    first, length = divmod(best, spans.shape[1])
    start, end = offsets[first][0], offsets[first + length][1]
    text = context[start:end]
    # Some vocabularies count the space before a word to it.
    start += len(text) - len(text.lstrip())
    return Answer(text=text.strip(), start=start, end=start + len(text.strip()), probability=probability)
