"""What a model is pre-trained on: which part of a text is left out, and how it is to be restored."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, cast

from trivium.data.batches import Batch
from trivium.data.corrupted import CorruptedSource
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, Unsupported
from trivium.models import Architecture
from trivium.recipes.corruptions import corruption_of
from trivium.recipes.restored_text import Corruption, Restored
from trivium.recipes.units import Units
from trivium.runtime.processes import Place
from trivium.tokenizers import Tokenizer

Kind = Literal["auto", Restored]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is left out of a text, or moved in it."""

    kind: Kind = "auto"
    """masked: tokens are hidden and restored (bert and its kin); replaced: exchanged by a small model, and found
    (electra); permutation: predicted in a random order (xlnet). Of encoder-decoders, span_corruption: what was left out
    is written in order (t5, transformer); ul2: the same in seven ways, by chance (Tay et al. 2022); denoising: the
    whole text is written, from one with holes and its sentences in another order (bart); prefix: the rest of a text is.
    blank_infilling: what stands in blanks, or after one (glm). Of models that read from left to right,
    fill_in_the_middle: half of the texts are given with their middle at the end; prefix: the rest of a text is
    predicted, but not its beginning. auto: what the architecture was published with; from left to right, the next
    token."""
    rate: float | None = None
    """Share of the text that is left out, and in fill_in_the_middle of the texts that are rearranged; null for 0.15, in
    denoising 0.3, in permutation a sixth, in fill_in_the_middle 0.5. Not for ul2 and prefix."""
    mean_span: float | None = None
    """Tokens of a span on average, in span_corruption, denoising and blank_infilling; null for 3."""
    units: Units | None = None
    """What is hidden together in masked and replaced. pieces: each by itself; words: all pieces of a word; phrases: all
    words of a frequent phrase or a name, which are found in the training text. Null for pieces, and for ernie
    phrases."""

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < 1:
            raise ConfigError("rate is a share of the text", received=self.rate, expected="above 0 and below 1")
        if self.mean_span is not None and not 1 <= self.mean_span < float("inf"):
            raise ConfigError("a span has at least one token", received=f"mean_span {self.mean_span}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restoring:
    """An objective with the source of its batches."""

    name: str
    """As `ObjectiveConfig.kind`."""
    window_tokens: int
    """Tokens of text that a row is made of."""
    loss: Callable[..., Any]
    """``(model, batch) -> Loss``."""
    source: Callable[[TokenStore, Place], CorruptedSource[Any]]
    """The batches of a store, for a process."""

    def validation(self, store: TokenStore) -> list[Batch]:
        """One pass over ``store``, corrupted once and for all, so that losses can be compared."""
        source = self.source(store, Place())
        return [next(source) for _ in range(max(1, round(source.batches_per_epoch)))]


_USUAL: dict[str, Restored] = {
    "electra": "replaced",
    "xlnet": "permutation",
    "bart": "denoising",
    "glm": "blank_infilling",
}
_USUAL_OF_KIND: dict[str, Restored] = {"encoder": "masked", "encoder-decoder": "span_corruption"}
_WRITING: tuple[Restored, ...] = ("span_corruption", "ul2", "denoising", "prefix")
_LEFT_TO_RIGHT: tuple[Restored, ...] = ("fill_in_the_middle", "prefix")

_RATES: dict[Restored, float | None] = {
    "masked": 0.15,
    "replaced": 0.15,
    "permutation": 1 / 6,
    "span_corruption": 0.15,
    "ul2": None,
    "denoising": 0.3,
    "blank_infilling": 0.15,
    "fill_in_the_middle": 0.5,
    "prefix": None,
}
_WITH_SPANS = ("span_corruption", "denoising", "blank_infilling")
_MEAN_SPAN = 3.0
_WITH_UNITS = ("masked", "replaced")


def decided(config: ObjectiveConfig, entry: Architecture) -> Corruption | None:
    """The objective that ``entry`` is trained on, with nothing left open; None for the prediction of the next token.

    Raises `Unsupported` where the architecture cannot be trained on the one asked for, and `ConfigError` for settings
    that it does not have.
    """
    usual: Restored | None = _USUAL.get(entry.name) or _USUAL_OF_KIND.get(entry.kind)
    if config.kind not in ("auto", usual, *_others(entry)):
        known = dict.fromkeys(each for each in (usual, *_others(entry)) if each)
        raise Unsupported(
            f"{entry.name} is not trained this way",
            received=f"objective.kind {config.kind}",
            expected=" or ".join(known) or "no objective: it predicts the next token",
            fix="leave objective.kind out",
        )
    kind: Restored | None = usual if config.kind == "auto" else cast(Restored, config.kind)
    _require_own_settings(config, kind, entry)
    if kind is None:
        return None
    units: Units = config.units or ("phrases" if entry.name == "ernie" else "pieces")
    return Corruption(
        kind=kind,
        rate=config.rate or _RATES[kind],
        mean_span=(config.mean_span or _MEAN_SPAN) if kind in _WITH_SPANS else None,
        units=units if kind in _WITH_UNITS else None,
        reads_whole=entry.kind not in ("decoder", "recurrent"),
    )


def _others(entry: Architecture) -> tuple[Restored, ...]:
    """What an architecture can be trained on beside what it was published with."""
    if entry.kind == "encoder-decoder":
        return () if entry.name == "glm" else _WRITING
    return _LEFT_TO_RIGHT if entry.kind in ("decoder", "recurrent") else ()


def _require_own_settings(config: ObjectiveConfig, kind: Restored | None, entry: Architecture) -> None:
    """Refuses settings that the objective does not have."""
    lacks = {
        "rate": kind is None or _RATES[kind] is None,
        "mean_span": kind not in _WITH_SPANS,
        "units": kind not in _WITH_UNITS,
    }
    for name, missing in lacks.items():
        if missing and getattr(config, name) is not None:
            raise ConfigError(
                f"{kind or 'the prediction of the next token'} has no {name}",
                received=f"objective.{name} {getattr(config, name)} for {entry.name}",
                fix=f"leave objective.{name} out",
            )


def restoring(
    objective: Corruption,
    tokenizer: Tokenizer,
    *,
    train: TokenStore,
    context_tokens: int,
    rows: int,
    seed: int,
    start_id: int | None = None,
) -> Restoring:
    """The objective with its batches of ``rows`` texts, none of which takes more than ``context_tokens``.

    An encoder-decoder is given ``start_id`` before what it writes. What is learnt from a text (phrases) is learnt from
    ``train`` alone. Raises `ConfigError` for a vocabulary without the tokens that it needs, and for a context that is
    too short for it or too long.
    """
    made = corruption_of(objective, tokenizer, train=train, context_tokens=context_tokens, start_id=start_id)

    def source(store: TokenStore, here: Place) -> CorruptedSource[Any]:
        return CorruptedSource(
            store,
            made.corrupt,
            made.collate,
            window_tokens=made.window_tokens,
            rows=rows,
            settings={f"objective_{name}": value for name, value in dataclasses.asdict(objective).items()},
            seed=seed,
            rank=here.rank,
            world=here.world,
        )

    return Restoring(name=objective.kind, window_tokens=made.window_tokens, loss=made.loss, source=source)
