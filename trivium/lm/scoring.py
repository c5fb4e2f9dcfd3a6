"""How probable a continuation is after its context, under a causal and under a masked model."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trivium.errors import DataError
from trivium.generation.decode import context_limit
from trivium.lm.protocol import Score
from trivium.nn.head import CHUNK_ROWS
from trivium.tokenizers import Tokenizer

TOKENS_AT_ONCE = 4096  # of one forward pass; beyond it the products gain nothing


def encode_pair(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[list[int], int]:
    """Ids of both together, and how many of them are the continuation's.

    White space between the two belongs to the continuation, for that is how vocabularies spell words;
    and both are encoded as one text, for that is what the model would read. These are the conventions
    of EleutherAI's evaluation harness, so that figures can be compared.
    """
    bare = context.rstrip()
    context, continuation = bare, context[len(bare) :] + continuation
    before, whole = tokenizer.encode(context), tokenizer.encode(context + continuation)
    if not whole or not continuation:
        raise DataError(
            "there is nothing to score",
            received=f"context {context!r}, continuation {continuation!r}",
            expected="a continuation of at least one token",
        )
    # A token that straddles the border counts as the context's, unless the continuation has no other.
    return whole, len(whole) - min(len(before), len(whole) - 1)


@torch.inference_mode()
def score_causal(network: nn.Module, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Score]:
    """log p(continuation | context) for each pair; a context too long for the model loses its beginning.

    Raises ``DataError`` for an empty continuation, one longer than the model's context, or an empty
    context where the vocabulary has no token that could stand before a text.
    """
    limit = context_limit(network)
    begin = tokenizer.prefix_ids or [i for i in (tokenizer.bos_id, tokenizer.eos_id) if i is not None][:1]
    rows = []
    for context, continuation in pairs:
        ids, scored = encode_pair(tokenizer, context, continuation)
        before = tokenizer.prefix_ids if scored < len(ids) else begin
        if not before and scored == len(ids):
            raise DataError(
                "the context is empty, and the vocabulary has no token that begins a text",
                fix="give every pair a context",
            )
        # The last token is only predicted: it takes no place.
        rows.append((_end(before + ids, scored, None if limit is None else limit + 1), scored))
    scores: list[Score | None] = [None] * len(rows)
    device = next(network.parameters()).device
    for group in _groups([len(ids) - 1 for ids, _ in rows]):
        tokens = torch.tensor([token for row in group for token in rows[row][0][:-1]], device=device)
        sizes = torch.tensor([len(rows[row][0]) - 1 for row in group], device=device)
        segments = torch.arange(len(group), device=device).repeat_interleave(sizes)
        hidden = network(tokens[None], segments=segments[None]).hidden[0]
        ends = sizes.cumsum(0).tolist()
        for row, end in zip(group, ends, strict=True):
            ids, scored = rows[row]
            scores[row] = _score(network, hidden[end - scored : end], torch.tensor(ids[-scored:], device=device))
    return [score for score in scores if score is not None]


@torch.inference_mode()
def score_pseudo(
    network: nn.Module, tokenizer: Tokenizer, mask_id: int, pairs: Sequence[tuple[str, str]]
) -> list[Score]:
    """Pseudo-log-likelihood (Salazar et al. 2020, eq. 2): the continuation masked one token at a time, all else seen.

    A context too long for the model loses its beginning. Raises ``DataError`` as ``score_causal`` does.
    """
    limit = context_limit(network)
    device = next(network.parameters()).device
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    scores = []
    for context, continuation in pairs:
        ids, scored = encode_pair(tokenizer, context, continuation)
        row = before + _end(ids, scored, None if limit is None else limit - len(before) - len(after)) + after
        places = torch.arange(len(row) - len(after) - scored, len(row) - len(after), device=device)
        targets = torch.tensor(row, device=device)[places]
        masked = torch.tensor(row, device=device).repeat(scored, 1)
        masked[torch.arange(scored, device=device), places] = mask_id
        step = max(1, TOKENS_AT_ONCE // len(row))
        hidden = []
        for part, where in zip(masked.split(step), places.split(step), strict=True):
            hidden.append(network(part).hidden[torch.arange(len(where), device=device), where])
        scores.append(_score(network, torch.cat(hidden), targets))
    return scores


def _score(network: nn.Module, hidden: Tensor, targets: Tensor) -> Score:
    """``hidden [n, D]`` predicts ``targets [n]``."""
    total, greedy = 0.0, True
    for part, wanted in zip(hidden.split(CHUNK_ROWS), targets.split(CHUNK_ROWS), strict=True):
        logits = network.head(part)
        # Summed in fp64: a long continuation would lose digits.
        total += float(torch.log_softmax(logits, dim=-1).gather(-1, wanted[:, None]).double().sum())
        greedy = greedy and bool((logits.argmax(-1) == wanted).all())
    return Score(logprob=total, is_greedy=greedy, tokens=len(targets))


def _end(ids: list[int], scored: int, room: int | None) -> list[int]:
    """The last ``room`` of ``ids``, which hold the ``scored`` ones."""
    if room is None or len(ids) <= room:
        return ids
    if scored >= room:
        raise DataError(
            "a continuation is longer than the model's context",
            received=f"{scored} tokens",
            expected=f"at most {room - 1}",
            fix="cut it into several",
        )
    return ids[-room:]


def _groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Rows that are read together: in order of length, so that equal ones meet."""
    group, total = [], 0
    for row in sorted(range(len(sizes)), key=lambda row: sizes[row]):
        if group and total + sizes[row] > TOKENS_AT_ONCE:
            yield group
            group, total = [], 0
        group.append(row)
        total += sizes[row]
    if group:
        yield group
