"""Fill in the middle (Bavarian et al. 2022): a text is cut in three and the middle moved to the end.

    PSM   <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle
    SPM   <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle

so that a decoder that reads from left to right learns to write what stands between two texts (section 3). SPM is the
second variant of its appendix D, in which both orders begin alike and what is learned in one serves the other. The loss
is plain next-token prediction over all of it: ``objectives/causal.py``.

``rearrange`` cuts between tokens. ``cut_text`` cuts between characters (better where a user's cursor stands
inside a word): the parts of the text are then tokenised by themselves and put in order by ``arranged``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trivium.errors import ConfigError

Order = Literal["prefix-suffix-middle", "suffix-prefix-middle"]


@dataclass(frozen=True, kw_only=True)
class Sentinels:
    """The ids of the three marks."""

    prefix: int
    """<|fim_prefix|>: what stands before the gap follows."""
    middle: int
    """<|fim_middle|>: what stands in the gap follows."""
    suffix: int
    """<|fim_suffix|>: what stands behind the gap follows."""

    def __post_init__(self) -> None:
        if len({self.prefix, self.middle, self.suffix}) < 3:
            raise ConfigError(
                "the three marks need an id each",
                received=f"prefix {self.prefix}, middle {self.middle}, suffix {self.suffix}",
            )


def rearrange(
    tokens: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    sentinels: Sentinels,
    rate: float = 0.5,
    suffix_first: float = 0.5,
    end_id: int | None = None,
) -> np.ndarray:
    """The row with each of its documents rearranged with probability ``rate``, of these a share ``suffix_first`` in the
    order SPM.

    The paper trains with a rate of 0.5 to 0.9 and finds no harm to plain generation (section 4). Documents end with
    ``end_id``, which stays at their end; without one the row is one document. This is the paper's context-level variant
    (section 3): cut after packing, so that all three parts are within reach. Each rearranged document is three tokens
    longer, and one that is cut off by the end of the row four: where a middle ends must be learnt, and a row that is
    short against its documents would show it only seldom.
    """
    for name, share in (("rate", rate), ("suffix_first", suffix_first)):
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"{name} is a share", received=share, expected="from 0 to 1")
    ids = np.asarray(tokens)
    ends = np.flatnonzero(ids == end_id) + 1 if end_id is not None else np.zeros(0, dtype=np.int64)
    pieces = []
    for document in np.split(ids, ends):
        ended = end_id is not None and len(document) > 0 and document[-1] == end_id
        body, end = (document[:-1], document[-1:]) if ended else (document, document[:0])
        if len(body) and rng.random() < rate:
            order: Order = "suffix-prefix-middle" if rng.random() < suffix_first else "prefix-suffix-middle"
            first, second = cut_places(len(body), rng)
            body = arranged(body[:first], body[first:second], body[second:], sentinels, order)
            end = np.full(int(end_id is not None), end_id)
        pieces += [body, end]
    return np.concatenate(pieces)


def cut_places(length: int, rng: np.random.Generator) -> tuple[int, int]:
    """Two places to cut ``length`` things, uniform and independent, in order; parts may be empty."""
    first, second = np.sort(rng.integers(0, length + 1, 2)).tolist()
    return first, second


def cut_text(text: str, rng: np.random.Generator) -> tuple[str, str, str]:
    """Prefix, middle and suffix, cut between characters."""
    first, second = cut_places(len(text), rng)
    return text[:first], text[first:second], text[second:]


def arranged(
    prefix: Sequence[int] | np.ndarray,
    middle: Sequence[int] | np.ndarray,
    suffix: Sequence[int] | np.ndarray,
    sentinels: Sentinels,
    order: Order,
) -> np.ndarray:
    """The three parts in the order to be read; with an empty ``middle`` it is the prompt that asks for one."""
    before, between, behind = ([mark] for mark in (sentinels.prefix, sentinels.middle, sentinels.suffix))
    if order == "prefix-suffix-middle":
        parts = (before, prefix, behind, suffix, between, middle)
    else:
        parts = (before, behind, suffix, between, prefix, middle)
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])


def restored(tokens: Sequence[int] | np.ndarray, sentinels: Sentinels, prefix_length: int | None = None) -> np.ndarray:
    """The text again, from one document in the order PSM; in the order SPM ``prefix_length`` says where the prefix
    ends, which nothing in the row does."""
    ids = np.asarray(tokens)
    behind, between = (int(np.flatnonzero(ids == mark)[0]) for mark in (sentinels.suffix, sentinels.middle))
    before, suffix, last = ids[1:behind], ids[behind + 1 : between], ids[between + 1 :]
    if prefix_length is not None:
        before, last = last[:prefix_length], last[prefix_length:]
    return np.concatenate([before, last, suffix])
