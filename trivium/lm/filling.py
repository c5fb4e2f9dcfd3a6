"""What may stand in the blanks of a text: by a masked model, which sees both sides, or by a model that writes.

    "Paris is the [MASK] of France."                                   BERT; "<mask>" in other vocabularies
    "Paris is the <extra_id_0> of <extra_id_1>."                       T5: a sentinel for each blank
    "Paris is the <mask> of France."                                   BART: the whole text is written anew
    "Paris is the [MASK] of France."                                   GLM: one blank after the other

A masked model judges every blank with all the others still masked (Devlin et al. 2019, section 3.1): what is best in
two blanks need not go together. T5 writes each sentinel and after it what it stands for (Raffel et al. 2020, section
3.1.4), so that a blank may be of several tokens, and depends on those before. BART writes the text without its blanks
(Lewis et al. 2020, section 2.2); what stands between the parts that were given is what it put there.
"""

import math
import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

from trivium.errors import ConfigError, DataError, NonFiniteError, TokenizerError
from trivium.generation.reading import device_of
from trivium.lm.protocol import Blank, Candidate, Filling, Generation
from trivium.lm.reading import longest_row, masked_hidden
from trivium.tokenizers import Tokenizer

SENTINEL = re.compile(r"<extra_id_(\d+)>")
"""T5's names for blanks."""
LONGEST_BLANK_TOKENS = 16
"""What a model that writes may put into one blank."""

Place = tuple[int, int]
"""First character of a blank, one past its last."""

_SHOWN = 80
_MASKS = ("[MASK]", "<mask>")


def mask_id(tokenizer: Tokenizer) -> int | None:
    """The id of the mask token: the one that the vocabulary names, or one of the usual name."""
    if tokenizer.mask_id is not None:
        return tokenizer.mask_id
    return next((id for mask in _MASKS if (id := tokenizer.id(mask)) is not None), None)


def sentinel_id(tokenizer: Tokenizer, number: int = 0) -> int | None:
    """The id of a sentinel of T5, or None."""
    return tokenizer.id(f"<extra_id_{number}>")


def sentinel_places(text: str) -> list[Place]:
    """Where the sentinels of a text stand. Raises ``DataError`` unless they are numbered from 0, in order."""
    found = list(SENTINEL.finditer(text))
    if [int(match[1]) for match in found] != list(range(len(found))):
        raise DataError(
            "the blanks are not numbered in order",
            received=", ".join(match[0] for match in found),
            expected="<extra_id_0>, <extra_id_1>, ...",
        )
    return [match.span() for match in found]


def mask_places(text: str, mask: str) -> list[Place]:
    """Where the mask token stands in a text. Raises ``DataError`` where it does not."""
    places = [match.span() for match in re.finditer(re.escape(mask), text)]
    if not places:
        raise DataError(
            "there is nothing to fill in this text",
            received=repr(text[:_SHOWN]),
            expected=f"{mask} where something is to stand",
        )
    return places


# Masked models -------------------------------------------------------------------------------------------------------


def fill(network: nn.Module, tokenizer: Tokenizer, text: str, write: "Write | None", *, top: int) -> Filling:
    """See ``LocalModel.fill``; ``write`` is given for models that write."""
    if top < 1:
        raise ConfigError("so many candidates cannot be given", received=top, expected="1 or more")
    if write is None:
        return fill_masks(network, tokenizer, text, top=top)
    if blanks := vars(network.config).get("blank_ids"):
        return fill_in_turn(tokenizer, blanks, text, write, top=top)
    return fill_by_writing(tokenizer, text, write, top=top)


@torch.inference_mode()
def fill_masks(network: nn.Module, tokenizer: Tokenizer, text: str, *, top: int) -> Filling:
    """The ``top`` most probable pieces for each mask of ``text``, which may hold special tokens.

    Raises ``DataError`` for a text without a mask, or longer than the network holds.
    """
    mask = mask_id(tokenizer)
    assert mask is not None, "a model that fills masks has one"
    places = mask_places(text, tokenizer.token(mask))
    ids = [*tokenizer.prefix_ids, *tokenizer.encode(text, special=True), *tokenizer.suffix_ids]
    longest = longest_row(network)
    if longest is not None and len(ids) > longest:
        raise DataError(
            "the text is longer than the model reads",
            received=f"{len(ids):,} tokens",
            expected=f"at most {longest:,}",
            fix="give the part of it around its blanks",
        )
    row = torch.tensor([ids], device=device_of(network))
    found = (row[0] == mask).nonzero()[:, 0]
    if len(found) != len(places):
        raise TokenizerError(
            "the tokenizer does not read every mask of the text as one",
            received=f"{len(places)} of {tokenizer.token(mask)} in the text, {len(found)} among its tokens",
            fix="leave spaces around the masks, or declare the token in tokenizer.json's added_tokens",
        )
    shares = torch.softmax(network.head(masked_hidden(network, row, found[None])[0]).double(), dim=-1)
    if bool(shares.isnan().any()):
        raise NonFiniteError("the model's scores are not numbers (NaN or infinite): nothing can be filled in")
    best = shares.topk(min(top, tokenizer.vocabulary_size, shares.shape[-1]))
    blanks = [
        Blank(
            start=start,
            end=end,
            candidates=[
                Candidate(text=_candidate(tokenizer, id), probability=probability)
                for id, probability in zip(ids_of.tolist(), shares_of.tolist(), strict=True)
            ],
        )
        for (start, end), ids_of, shares_of in zip(places, best.indices, best.values, strict=True)
    ]
    return Filling(text=_filled(tokenizer, text, places, best.indices[:, 0].tolist()), blanks=blanks)


def _candidate(tokenizer: Tokenizer, id: int) -> str:
    """A piece as it is shown: without the space before it, unless it is nothing else."""
    spelled = _spelled(tokenizer, id)
    return spelled.strip() or spelled


def _spelled(tokenizer: Tokenizer, id: int) -> str:
    """What a piece adds to a text that it goes on with; some vocabularies write a space only between two pieces."""
    return tokenizer.decode([id, id], special=True)[len(tokenizer.decode([id], special=True)) :]


def _filled(tokenizer: Tokenizer, text: str, places: Sequence[Place], pieces: Sequence[int]) -> str:
    """``text`` with a piece in each place. A piece that goes on with a word is put right behind it."""
    filled, at = "", 0
    for (start, end), id in zip(places, pieces, strict=True):
        filled += text[at:start]
        spelled, at = _spelled(tokenizer, id), end
        if not spelled.startswith(" "):
            filled = filled.rstrip(" ") + spelled
        elif filled in ("", filled.rstrip() + " ") or tokenizer.token(id) == spelled[1:]:
            filled += spelled[1:]  # the space is there, or stands between words and is no part of the piece
        else:
            filled += spelled
    return filled + text[at:]


# Models that write ---------------------------------------------------------------------------------------------------

Write = Callable[[list[int], int, int], Sequence[Generation]]
"""``write(ids, n, new_tokens)``: the ``n`` best texts of at most so many tokens that the model writes for a source."""


def fill_by_writing(tokenizer: Tokenizer, text: str, write: Write, *, top: int) -> Filling:
    """What a model that writes puts into the blanks of ``text``: sentinels, or else masks, which are read as sentinels
    where the vocabulary has these.

    Raises ``DataError`` for a text without a blank, and for sentinels in another order than their numbers'.
    """
    numbered = sentinel_id(tokenizer) is not None
    places = sentinel_places(text) if numbered else []
    mask = mask_id(tokenizer)
    if not places and mask is not None:
        places = mask_places(text, tokenizer.token(mask))
    if not places:
        raise DataError(
            "there is nothing to fill in this text",
            received=repr(text[:_SHOWN]),
            expected="<extra_id_0> where something is to stand",
        )
    source = _with_sentinels(text, places) if numbered else text
    ids = [*tokenizer.prefix_ids, *tokenizer.encode(source, special=True), *tokenizer.suffix_ids]
    room = LONGEST_BLANK_TOKENS * len(places)
    written = write(ids, top, room + (1 + len(places) if numbered else len(ids)))
    found = _after_sentinels(tokenizer, len(places), written) if numbered else _between_parts(text, places, written)
    blanks = [
        Blank(start=start, end=end, candidates=[Candidate(text=piece, probability=p) for piece, p in some.items()])
        for (start, end), some in zip(places, found, strict=True)
    ]
    best = [blank.candidates[0].text if blank.candidates else "" for blank in blanks]
    return Filling(text=_put(text, places, best), blanks=blanks)


def fill_in_turn(tokenizer: Tokenizer, masks: Sequence[int], text: str, write: Write, *, top: int) -> Filling:
    """What a GLM writes for the blanks of ``text``, any of the tokens ``masks``: one after the other, each in the text
    whose earlier blanks are filled (Du et al. 2022, section 2.1).

    Raises ``DataError`` for a text without a blank.
    """
    names = [tokenizer.token(mask) for mask in masks]
    pattern = re.compile("|".join(map(re.escape, names)))
    places = [match.span() for match in pattern.finditer(text)]
    if not places:
        raise DataError(
            "there is nothing to fill in this text",
            received=repr(text[:_SHOWN]),
            expected=f"{' or '.join(names)} in it",
        )
    blanks, best = [], []
    for number, (start, end) in enumerate(places):
        source = _put(text, places[:number], best)
        ids = [*tokenizer.prefix_ids, *tokenizer.encode(source, special=True), *tokenizer.suffix_ids]
        written = {one.text.strip(): one for one in reversed(write(ids, top, LONGEST_BLANK_TOKENS)) if one.text.strip()}
        candidates = [
            Candidate(text=piece, probability=math.exp(math.fsum(one.logprobs)))
            for piece, one in reversed(written.items())
        ]
        blanks.append(Blank(start=start, end=end, candidates=candidates))
        best.append(candidates[0].text if candidates else "")
    return Filling(text=_put(text, places, best), blanks=blanks)


def _with_sentinels(text: str, places: Sequence[Place]) -> str:
    return _put(text, places, [f"<extra_id_{number}>" for number in range(len(places))])


def _put(text: str, places: Sequence[Place], pieces: Sequence[str]) -> str:
    """``text`` with a piece in each place."""
    put, at = "", 0
    for (start, end), piece in zip(places, pieces, strict=True):
        put += text[at:start] + piece
        at = end
    return put + text[at:]


def _after_sentinels(tokenizer: Tokenizer, blanks: int, written: Sequence[Generation]) -> list[dict[str, float]]:
    """For each blank what stands after its sentinel, in hypotheses that come the best first, with the probability of
    its tokens after all that was written before."""
    sentinels = [sentinel_id(tokenizer, number) for number in range(blanks)]
    last = sentinel_id(tokenizer, blanks)
    found: list[dict[str, float]] = [{} for _ in range(blanks)]
    for one in written:
        parts: dict[int, tuple[list[int], list[float]]] = {}
        part: tuple[list[int], list[float]] | None = None
        for id, logprob in zip(one.token_ids, one.logprobs, strict=True):
            if id in sentinels:
                part = parts.setdefault(sentinels.index(id), ([], []))
            elif id == last or id in one.settings.eos_ids:
                part = None
            elif part is not None:
                part[0].append(id)
                part[1].append(logprob)
        for number, (ids, logprobs) in parts.items():
            if piece := tokenizer.decode(ids).strip():
                found[number].setdefault(piece, math.exp(math.fsum(logprobs)))
    return found


def _between_parts(text: str, places: Sequence[Place], written: Sequence[Generation]) -> list[dict[str, float]]:
    """For each blank what stands between the parts of ``text`` around it, with the probability of the whole text that
    was written; nothing of texts that changed a part."""
    edges = [0, *(edge for place in places for edge in place), len(text)]
    parts = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    pattern = re.compile(r"\s*" + r"\s*(.*?)\s*".join(map(_loosely, parts)) + r"\s*", re.DOTALL)
    found: list[dict[str, float]] = [{} for _ in places]
    for one in written:
        kept = pattern.fullmatch(one.text)
        for some, piece in zip(found, kept.groups() if kept else (), strict=False):
            some.setdefault(piece, math.exp(math.fsum(one.logprobs)))
    return found


def _loosely(part: str) -> str:
    """A pattern of a part of a text, whatever white space stands between its words."""
    return r"\s+".join(map(re.escape, part.split()))
