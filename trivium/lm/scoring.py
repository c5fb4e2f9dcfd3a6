"""How probable a continuation is after its context, under a causal and under a masked model.

The conventions are those of EleutherAI's lm-evaluation-harness (`lm_eval/api/model.py`, `TemplateLM`), so that figures
can be compared:

- white space that ends the context belongs to the continuation, for that is how vocabularies spell words;
- both are encoded as one text, which is cut after as many tokens as the context has alone. Where nothing is left, the
  continuation is encoded by itself (the harness fails there);
- before an empty context stands the token that begins a text, or else the one that ends it;
- what is too long loses its beginning: a model that holds N tokens reads N, and predicts one more. A continuation that
  is itself longer is read in windows, each of which begins with one token of the window before, while the last one
  sees as much as fits: with an empty context this is the harness's `loglikelihood_rolling`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trivium.adapters.beginning import begin_active, prefix_tokens
from trivium.errors import DataError, NonFiniteError, Unsupported
from trivium.lm.filling import mask_id
from trivium.lm.protocol import Score
from trivium.lm.reading import kind_of, masked_hidden
from trivium.lm.together import TOKENS_AT_ONCE
from trivium.nn.head import CHUNK_ROWS
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.tokenizers import Tokenizer

_WORTH_SHARING = 16  # tokens; what fewer cost is less than what a second forward pass does


def encode_pair(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[list[int], int]:
    """Ids of the context and after it of the continuation, and how many are the continuation's.

    Raises ``DataError`` where that is none.
    """
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    before = tokenizer.encode(bare)
    after = tokenizer.encode(bare + continuation)[len(before) :] or tokenizer.encode(continuation)
    if not after or not continuation:
        raise DataError(
            "there is nothing to score",
            received=f"context {context!r}, continuation {continuation!r}",
            expected="a continuation of at least one token",
        )
    return before + after, len(after)


def windows(length: int, scored: int, room: int | None, *, context: int) -> Iterator[tuple[int, int, int]]:
    """How ``length`` tokens, the last ``scored`` of which are to be scored, are read where ``room`` are held at once.

    Each window is (start, end, how many of its last tokens it scores) and begins with at least ``context`` tokens
    that it does not score. Every token is scored once.
    """
    if room is None or scored <= room - context:
        yield max(0, length - (room or length)), length, scored
        return
    first = length - scored
    start = max(0, first - (room - 1))
    end = start + room
    yield start, end, end - first
    while end < length:
        new = min(room - context, length - end)
        end += new
        yield end - room, end, new


def score(
    network: nn.Module, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], method: Literal["causal", "pseudo"]
) -> list[Score]:
    """See ``LocalModel.score``. Raises ``Unsupported`` for a method that does not go with the model."""
    fitting = "pseudo" if kind_of(network) == "encoder" else "causal"
    if method != fitting:
        raise Unsupported(
            "this model cannot be scored this way", received=f"method={method!r}", expected=f"method={fitting!r}"
        )
    if method == "causal":
        return score_causal(network, tokenizer, pairs)
    mask = mask_id(tokenizer)
    if mask is None:
        raise Unsupported("the vocabulary has no mask token", expected="[MASK] or <mask>")
    return score_pseudo(network, tokenizer, mask, pairs)


# Causal models ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One window of one pair."""

    pair: int
    ids: list[int]
    """What is read, and the one token more that is only predicted."""
    scored: int
    """How many of the last ids are scored."""


@torch.inference_mode()
def score_causal(network: nn.Module, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Score]:
    """log p(continuation | context) for each pair.

    A beginning that several pairs have in common, as the answers to one question have, is read once. What the active
    adapter puts before every text is read before these. Raises ``DataError`` for an empty continuation, or an empty
    context where the vocabulary has no token that could stand before a text.
    """
    limit = _longest(network)
    parts = []
    for pair, (context, continuation) in enumerate(pairs):
        ids, scored = _beginning(tokenizer, *encode_pair(tokenizer, context, continuation))
        for start, end, new in windows(len(ids), scored, None if limit is None else limit + 1, context=1):
            parts.append(_Part(pair=pair, ids=ids[start:end], scored=new))
    totals, greedy, tokens = [0.0] * len(pairs), [True] * len(pairs), [0] * len(pairs)
    for part, log_probs, best in _scored(network, parts):
        totals[part.pair] += float(log_probs.sum())
        greedy[part.pair] &= bool(best.all())
        tokens[part.pair] += part.scored
    return [
        Score(logprob=total, is_greedy=every, tokens=count)
        for total, every, count in zip(totals, greedy, tokens, strict=True)
    ]


def _beginning(tokenizer: Tokenizer, ids: list[int], scored: int) -> tuple[list[int], int]:
    """``ids`` after what stands before every text, or, where all of them are scored, before this one."""
    before = tokenizer.prefix_ids
    if scored == len(ids) and not before:
        before = [i for i in (tokenizer.bos_id, tokenizer.eos_id) if i is not None][:1]
        if not before:
            raise DataError(
                "the context is empty, and the vocabulary has no token that begins a text",
                fix="give every pair a context",
            )
    return before + ids, scored


def _scored(network: nn.Module, parts: Sequence[_Part]) -> Iterator[tuple[_Part, Tensor, Tensor]]:
    """Each part with the log-probability of every scored token, in fp64, and whether it was the most probable one."""
    device = next(network.parameters()).device
    families = list(_families(list(_readings(parts))))
    for group in _groups([family.cost for family in families]):
        hidden, places = _read(network, [families[number] for number in group])
        asked, wanted, chosen = [], [], []
        for served, where in places:
            for part in served:
                asked.append(part)
                wanted += part.ids[-part.scored :]
                chosen += where[len(part.ids) - 1 - part.scored : len(part.ids) - 1]
        indices, targets = (torch.tensor(values, device=device) for values in (chosen, wanted))
        log_probs, best = _log_probs(network, hidden[indices], targets)
        counts = [part.scored for part in asked]
        yield from zip(asked, log_probs.split(counts), best.split(counts), strict=True)


def _readings(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """The parts that one reading serves: what the first reads begins with all that each other one does.

    A causal model's hidden states do not depend on what follows, so the shorter texts come with the longest.
    """
    served: list[_Part] = []
    for part in sorted(parts, key=lambda part: part.ids[:-1], reverse=True):
        size = len(part.ids) - 1
        if served and size < len(served[0].ids) and served[0].ids[:size] == part.ids[:size]:
            served.append(part)
            continue
        if served:
            yield served
        served = [part]
    if served:
        yield served


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Readings that begin alike: their common part is read once."""

    common: int
    """Tokens of it; of a reading alone, all."""
    readings: list[list[_Part]]

    @property
    def texts(self) -> list[list[int]]:
        return [served[0].ids[:-1] for served in self.readings]

    @property
    def cost(self) -> int:
        """Tokens that are read, or half of those whose states are held meanwhile, if that is more."""
        sizes = [len(text) for text in self.texts]
        return max(self.common + sum(sizes) - len(sizes) * self.common, len(sizes) * max(sizes) // 2)


def _families(readings: Sequence[list[_Part]]) -> Iterator[_Family]:
    """``readings``, of which those that begin alike follow each other, in families that are worth it."""
    family: _Family | None = None
    for served in readings:
        text = served[0].ids[:-1]
        if family is not None:
            shared = _alike(family.texts[0][: family.common], text)
            # The others lose what they had in common beyond that.
            saved = shared - (len(family.readings) - 1) * (family.common - shared)
            larger = _Family(common=shared, readings=[*family.readings, served])
            if saved >= max(_WORTH_SHARING, len(text) // 2) and larger.cost <= TOKENS_AT_ONCE:
                family = larger
                continue
            yield family
        family = _Family(common=len(text), readings=[served])
    if family is not None:
        yield family


def _alike(first: list[int], second: list[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


def _read(network: nn.Module, families: Sequence[_Family]) -> tuple[Tensor, list[tuple[list[_Part], list[int]]]]:
    """Hidden states ``[N, D]``; and of each reading its parts, and where in them its tokens stand."""
    texts = [(row, text) for row, family in enumerate(families) for text in family.texts]
    rests = [(row, text[families[row].common :]) for row, text in texts if len(text) > families[row].common]
    state = None
    if rests or prefix_tokens(network):
        state = begin_active(network, [None] * len(families), max(len(text) for _, text in texts))
    output = _packed(network, [family.texts[0][: family.common] for family in families], state)
    hidden = output.hidden[0]
    if rests:
        assert output.state is not None
        rows = torch.tensor([row for row, _ in rests], device=hidden.device)
        hidden = torch.cat([hidden, _packed(network, [rest for _, rest in rests], output.state.take(rows)).hidden[0]])
    places = []
    start, further = 0, sum(family.common for family in families)
    for family in families:
        for served, text in zip(family.readings, family.texts, strict=True):
            rest = len(text) - family.common
            places.append((served, [*range(start, start + family.common), *range(further, further + rest)]))
            further += rest
        start += family.common
    return hidden, places


def _packed(network: nn.Module, texts: Sequence[list[int]], state: State | None) -> Output:
    """The texts in one row, without padding, each continuing its row of ``state`` where there is one."""
    device = next(network.parameters()).device
    sizes = torch.tensor([len(text) for text in texts], device=device)
    segments = torch.arange(len(texts), device=device).repeat_interleave(sizes)
    tokens = torch.tensor([token for text in texts for token in text], device=device)
    return network(tokens[None], segments=segments[None], state=state)


def _longest(network: nn.Module) -> int | None:
    """Tokens of a text that are read at once: what the model was made for, also where it could read on beyond."""
    config: Any = network.config
    return None if config.context_tokens is None else config.context_tokens - prefix_tokens(network)


def _log_probs(network: nn.Module, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of the tokens ``targets [n]`` that ``hidden [n, D]`` predicts: log-probability, and whether it is the largest."""
    found, best = [], []
    for part, wanted in zip(hidden.split(CHUNK_ROWS), targets.split(CHUNK_ROWS), strict=True):
        logits = network.head(part)
        # fp64, because they are summed: a long continuation would lose digits.
        found.append(torch.log_softmax(logits, dim=-1).gather(-1, wanted[:, None])[:, 0].double())
        best.append(logits.argmax(-1) == wanted)
        if bool(found[-1].isnan().any()):
            raise NonFiniteError("the model's logits are not numbers (NaN or infinite): nothing can be scored")
    return torch.cat(found), torch.cat(best)


def _groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Texts that are read together: in order of length, so that equal ones meet."""
    group, total = [], 0
    for row in sorted(range(len(sizes)), key=lambda row: sizes[row]):
        if group and total + sizes[row] > TOKENS_AT_ONCE:
            yield group
            group, total = [], 0
        group.append(row)
        total += sizes[row]
    if group:
        yield group


# Masked models ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def score_pseudo(
    network: nn.Module, tokenizer: Tokenizer, mask_id: int, pairs: Sequence[tuple[str, str]]
) -> list[Score]:
    """Pseudo-log-likelihood (Salazar et al. 2020, eq. 2): the continuation masked one token at a time, all else seen.

    Each window stands between the tokens that the vocabulary puts around a text. Raises ``DataError`` for an empty
    continuation.
    """
    limit = _longest(network)
    device = next(network.parameters()).device
    before, after = tokenizer.prefix_ids, tokenizer.suffix_ids
    room = None if limit is None else limit - len(before) - len(after)
    scores = []
    for context, continuation in pairs:
        ids, scored = encode_pair(tokenizer, context, continuation)
        total, greedy = 0.0, True
        for start, end, new in windows(len(ids), scored, room, context=0):
            row = torch.tensor(before + ids[start:end] + after, device=device)
            places = torch.arange(new, device=device) + len(row) - len(after) - new
            log_probs, best = _log_probs(network, _masked_hidden(network, row, places, mask_id), row[places])
            total += float(log_probs.sum())
            greedy = greedy and bool(best.all())
        scores.append(Score(logprob=total, is_greedy=greedy, tokens=scored))
    return scores


def _masked_hidden(network: nn.Module, row: Tensor, places: Tensor, mask_id: int) -> Tensor:
    """The hidden state at each of ``places [n]`` of ``row [T]`` where only it is masked: ``[n, D]``."""
    hidden = []
    for part in places.split(max(1, TOKENS_AT_ONCE // len(row))):
        rows = torch.arange(len(part), device=row.device)
        masked = row.repeat(len(part), 1)
        masked[rows, part] = mask_id
        hidden.append(masked_hidden(network, masked, part[:, None])[:, 0])
    return torch.cat(hidden)
