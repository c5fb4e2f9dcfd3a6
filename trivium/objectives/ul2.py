"""UL2's mixture of denoisers (Tay et al. 2022, section 3.1 and table 1): each text is spoilt in one of seven ways.

    R   short spans, few of them: span corruption as T5 has it
    X   long spans, or many: much is to be written from little
    S   the end of the text: prefix language modelling

A mode token before the source says which of the three it was, so that one can ask for it later. Source and target are
those of span corruption in all three: the loss is ``objectives/seq2seq.py``, and ``fill_spans`` gives the text back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trivium.errors import ConfigError
from trivium.objectives import span_corruption
from trivium.objectives.span_corruption import checked, corrupt_spans, drop_spans

Mode = Literal["R", "S", "X"]

MODE_TOKENS: dict[Mode, str] = {"R": "[NLU]", "S": "[S2S]", "X": "[NLG]"}
"""The pieces that name the modes in the published vocabulary."""


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """One way to spoil a text."""

    mode: Mode
    """What the mode token tells of it; in mode S the one span reaches to the end of the text."""
    rate: float
    """Share of the tokens that are dropped; in mode S on average, and at most twice that."""
    mean_span: float | None = None
    """Mean length of a span in tokens; None in mode S."""

    def __post_init__(self) -> None:
        if (self.mode == "S") != (self.mean_span is None):
            raise ConfigError(
                "spans have a mean length, and the end of a text has none",
                received=f"mode {self.mode} with mean_span {self.mean_span}",
                fix="leave mean_span out in mode S, and set it in the others",
            )
        if self.mode == "S" and not 0.0 < self.rate <= 0.5:
            raise ConfigError(
                "the end of a text varies from nothing to twice its mean",
                received=self.rate,
                expected="a rate above 0, at most 0.5",
            )


DENOISERS: tuple[Denoiser, ...] = (
    Denoiser(mode="R", rate=0.15, mean_span=3.0),
    Denoiser(mode="R", rate=0.15, mean_span=8.0),
    Denoiser(mode="S", rate=0.25),
    Denoiser(mode="X", rate=0.5, mean_span=3.0),
    Denoiser(mode="X", rate=0.5, mean_span=8.0),
    Denoiser(mode="X", rate=0.15, mean_span=64.0),
    Denoiser(mode="X", rate=0.5, mean_span=64.0),
)
"""Table 1 of the paper; the seven are equally frequent."""


def corrupt_by_mixture(
    tokens: Sequence[int] | np.ndarray,
    sentinels: Sequence[int],
    rng: np.random.Generator,
    *,
    denoisers: Sequence[Denoiser] = DENOISERS,
    mode_ids: Mapping[Mode, int] | None = None,
) -> tuple[list[int], list[int]]:
    """Source and target of one text, by one of the ``denoisers``, which are equally likely.

    ``mode_ids`` are the ids of the mode tokens; without them the source has none. Raises ``DataError`` for a text of
    fewer than two tokens or with more spans than sentinels allow.
    """
    denoiser = denoisers[int(rng.integers(len(denoisers)))]
    source, target = denoised(tokens, sentinels, rng, denoiser)
    return (source if mode_ids is None else [mode_ids[denoiser.mode], *source]), target


def denoised(
    tokens: Sequence[int] | np.ndarray, sentinels: Sequence[int], rng: np.random.Generator, denoiser: Denoiser
) -> tuple[list[int], list[int]]:
    """Source and target of one text by a given denoiser, without a mode token; errors as above."""
    if denoiser.mean_span is not None:
        return corrupt_spans(tokens, sentinels, rng, rate=denoiser.rate, mean_span=denoiser.mean_span)
    ids = checked(tokens)
    length = ids.shape[0]
    # Uniform around its mean, as the paper draws the lengths of spans (section 3.1.1).
    longest = min(max(round(2 * denoiser.rate * length), 1), length - 1)
    end = int(rng.integers(1, longest + 1))
    return drop_spans(ids, np.arange(length) >= length - end, sentinels)


def raw_tokens(context_tokens: int, *, denoisers: Sequence[Denoiser] = DENOISERS, with_modes: bool = True) -> int:
    """The longest text whose source fits into ``context_tokens`` whichever of ``denoisers`` has it, a mode token
    (``with_modes``) and an end token included. ``ConfigError`` where too few are left."""
    room = context_tokens - with_modes

    def longest(denoiser: Denoiser) -> int:
        if denoiser.mean_span is not None:
            return span_corruption.raw_tokens(room, rate=denoiser.rate, mean_span=denoiser.mean_span)
        return room - 1  # all but one token may be kept: its sentinel is in its place, and then the end

    return min(map(longest, denoisers))
