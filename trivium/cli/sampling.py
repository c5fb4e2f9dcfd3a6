"""How a text is to be continued, as `generate` and `chat` ask for it."""

import dataclasses
from typing import Any

from trivium.errors import ConfigError, Unsupported
from trivium.generation.settings import PROCESSORS, Constraints, Search
from trivium.tokenizers import Tokenizer

LOOKUP = "lookup"
"""The draft that needs no model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How each next token is chosen; what is left out comes from the model's own generation_config.json."""

    max_new_tokens: int = 100
    """The longest answer, in tokens."""
    greedy: bool = False
    """Always take the most probable token, whatever generation_config.json says; the same as --temperature 0."""
    temperature: float | None = None
    """Divides the logits before sampling; 0 always takes the most probable token."""
    top_k: int | None = None
    """Sample among this many of the most probable tokens."""
    top_p: float | None = None
    """Sample among the fewest tokens that together hold this much probability."""
    min_p: float | None = None
    """Sample among tokens at least this share as probable as the most probable one."""
    typical_p: float | None = None
    """Sample among tokens of about the expected surprise that together hold this much probability."""
    repetition_penalty: float | None = None
    """Above 1, tokens of the prompt and the answer become less probable; 1 does nothing."""
    frequency_penalty: float | None = None
    """Taken off a token's logit for each time it stands in the answer."""
    presence_penalty: float | None = None
    """Taken off a token's logit once it stands in the answer."""
    no_repeat_ngram: int = 0
    """No run of this many tokens occurs twice; 0 for no such rule."""
    min_new_tokens: int = 0
    """The answer does not end before this many tokens."""
    seed: int | None = None
    """The same seed gives the same text."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer."""
    ban: tuple[str, ...] = ()
    """Texts that are never said, as the tokenizer cuts them, with a space before and without."""
    begin_with: str | None = None
    """The answer begins with this text."""
    order: tuple[str, ...] = ()
    """Rules in the order in which they are applied, such as top_p temperature. The others keep their places."""

    def __post_init__(self) -> None:
        if self.greedy and self.temperature:
            raise ConfigError(
                "greedy takes no temperature", received=f"temperature {self.temperature:g}", fix="leave one of them out"
            )

        if "" in (*self.ban, self.begin_with):
            raise ConfigError(
                "an empty text is no rule", expected="texts of at least one character", fix="leave it out"
            )

    def arguments(self, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
        """As `LanguageModel.generate` takes them: only what was asked for. `ban` and `begin_with` need a tokenizer."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        rules = {name: given.pop(name) for name in ("no_repeat_ngram", "min_new_tokens")}
        if given.pop("greedy"):
            given["temperature"] = 0.0
        if order := given.pop("order"):
            given["order"] = _whole_order(order)
        rules |= self._in_tokens(tokenizer)
        for name in ("ban", "begin_with"):
            given.pop(name, None)
        if any(rules.values()):
            given["constraints"] = Constraints(**rules)
        return given

    @property
    def holds_text(self) -> bool:
        """Whether a rule holds a text, so that a tokenizer is needed."""
        return bool(self.ban) or self.begin_with is not None

    def _in_tokens(self, tokenizer: Tokenizer | None) -> dict[str, Any]:
        """What is banned and forced."""
        if not self.holds_text:
            return {}
        if tokenizer is None:
            raise Unsupported(
                "a text cannot be banned or begun with without a tokenizer",
                received="--ban" if self.ban else "--begin-with",
                fix="copy tokenizer.json into the model's folder; of a service, leave it out",
            )
        banned = [tuple(tokenizer.encode(space + text)) for text in self.ban for space in ("", " ")]
        forced = () if self.begin_with is None else tuple(tokenizer.encode(self.begin_with))
        return {"banned": tuple(dict.fromkeys(banned)), "forced": forced}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searching:
    """How many answers are grown, and which of them are given."""

    n: int = 1
    """How many continuations of each prompt."""
    beams: int | None = None
    """Grow so many continuations side by side and keep the most probable whole; 1 for no such search."""
    length_penalty: float | None = None
    """A beam's score is its log-probability over its length to this power: above 1 favours long ones."""
    search: Search = dataclasses.field(default_factory=Search)
    """The kind of search."""
    draft: str | None = None
    """Guess ahead for speed: from the text itself ("lookup"), or with the model in this folder. The answer is the same,
    or as probable, and is shown when it is done."""

    def __post_init__(self) -> None:
        searched = self.beams not in (None, 1) or self.search.contrastive_alpha > 0
        if self.draft is not None and searched:
            raise ConfigError(
                "a search looks at several answers at once, and cannot be drafted for",
                received=f"--draft {self.draft}",
                fix="leave the draft out, or the search",
            )

    @property
    def is_stream(self) -> bool:
        """One answer that grows token by token, so that it can be shown as it is written."""
        return self.n == 1 and self.beams in (None, 1) and self.search == Search() and self.draft is None

    def arguments(self) -> dict[str, Any]:
        """As `LanguageModel.generate` takes them: only what was asked for."""
        given = {"beams": self.beams, "length_penalty": self.length_penalty}
        given["search"] = None if self.search == Search() else self.search
        return {"n": self.n, **{name: value for name, value in given.items() if value is not None}}


def _whole_order(named: tuple[str, ...]) -> tuple[str, ...]:
    """Every rule once: those that are named in this order, each other one where it always is."""
    wanted = tuple(name.replace("-", "_") for name in named)
    if len(set(wanted)) < len(wanted) or not set(wanted) <= set(PROCESSORS):
        return wanted  # refused with its reason where settings are checked
    following = iter(wanted)
    return tuple(next(following) if name in wanted else name for name in PROCESSORS)
