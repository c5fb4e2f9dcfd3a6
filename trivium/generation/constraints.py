"""What an answer may and must hold, as bans on the next token.

A banned token gets the logit -inf. Where a token is forced, every other is banned and its own logit is 0, so that it
costs a beam nothing; of several that are permitted as the last one, each gets 0. All of this is as in ``transformers``
5, except that a forced token wins over every ban, and that a row without any token left is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.errors import ConfigError
from trivium.generation.checks import check_numbers, require
from trivium.generation.history import History

_NEGATIVE_INFINITY = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What an answer may and must hold, in tokens; ``ConfigError`` where it makes no sense."""

    min_new_tokens: int = 0
    """No end token before this many others."""
    banned: tuple[tuple[int, ...], ...] = ()
    """Sequences that are never completed, the prompt included; a sequence of one token is a token that is never
    chosen."""
    banned_first: tuple[int, ...] = ()
    """Tokens that the answer may not begin with, after what is forced."""
    no_repeat_ngram: int = 0
    """No run of this many tokens occurs twice, the prompt included; 0 for no such rule (Paulus et al. 2018)."""
    forced: tuple[int, ...] = ()
    """The answer begins with these tokens."""
    forced_last: tuple[int, ...] = ()
    """Where the longest answer is reached, its last token is one of these."""

    def __post_init__(self) -> None:
        check_numbers(self)
        for name in ("min_new_tokens", "no_repeat_ngram"):
            value = getattr(self, name)
            require(
                value >= 0,
                f"{name} is negative",
                received=f"{name}={value}",
                expected="a whole number of at least 0",
                fix=f"leave {name} out for no such rule",
            )
        require(
            () not in self.banned,
            "an empty banned sequence would ban everything",
            received=f"banned={self.banned!r}",
            expected="sequences of at least one token",
            fix="leave the empty sequence out",
        )
        every_banned = tuple(token for sequence in self.banned for token in sequence)
        for name, tokens in (
            ("banned", every_banned),
            ("banned_first", self.banned_first),
            ("forced", self.forced),
            ("forced_last", self.forced_last),
        ):
            require(
                min(tokens, default=0) >= 0,
                f"{name} holds an id that no vocabulary has",
                received=f"{min(tokens, default=0)}",
                expected="ids of 0 and more",
                fix="take the ids from the model's own tokenizer",
            )
            never = sorted(set(tokens) & set(self.banned_always)) if name.startswith("forced") else []
            require(
                not never,
                f"a token is {name} and banned at once",
                received=f"{name} and banned hold {', '.join(map(str, never))}",
                expected="a token in one of them",
                fix=f"take it out of {name} or out of banned",
            )

    @cached_property
    def banned_always(self) -> list[int]:
        """The tokens that are never chosen."""
        return [sequence[0] for sequence in self.banned if len(sequence) == 1]

    @cached_property
    def completions(self) -> dict[int, dict[tuple[int, ...], list[int]]]:
        """Of the longer banned sequences, by the length of all but their last token: those tokens, and what may not
        follow them."""
        table: dict[int, dict[tuple[int, ...], list[int]]] = {}
        for sequence in self.banned:
            if len(sequence) > 1:
                table.setdefault(len(sequence) - 1, {}).setdefault(sequence[:-1], []).append(sequence[-1])
        return table


NO_CONSTRAINTS = Constraints()


def apply(
    logits: Float[Tensor, "B V"],
    constraints: Constraints,
    histories: Sequence[History],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    dead_ends: bool = False,
) -> Float[Tensor, "B V"]:
    """New logits with -inf for what ``constraints`` forbid as the next token of each row.

    Banned ids beyond the vocabulary cannot be chosen anyway and are passed over. Raises ``ConfigError`` where a row
    has no token left, with the rules that took them, and where a forced token is not in the vocabulary. With
    ``dead_ends`` a row without a token is all -inf instead: to a search it is one answer among others.
    """
    if constraints == NO_CONSTRAINTS:
        return logits
    assert len(histories) == logits.shape[0], "constraints look back at every row"
    vocabulary_size = logits.shape[1]
    rows, columns = [], []
    forced: dict[int, tuple[int, ...]] = {}
    for row, history in enumerate(histories):
        must = _forced(constraints, len(history.new), max_new_tokens)
        if must:
            forced[row] = must
            continue
        tokens = [token for _, tokens in _banned(constraints, history, eos_ids) for token in tokens]
        rows += [row] * len(tokens)
        columns += tokens
    allowed = logits.clone()
    if constraints.banned_always:
        always = torch.tensor(constraints.banned_always, device=logits.device)
        allowed[:, always[always < vocabulary_size]] = _NEGATIVE_INFINITY
    if columns:
        place = torch.tensor([rows, columns], device=logits.device)
        place = place[:, place[1] < vocabulary_size]
        allowed[place[0], place[1]] = _NEGATIVE_INFINITY
    for row, tokens in forced.items():
        require(
            max(tokens) < vocabulary_size,
            "a forced token is not in the model's vocabulary",
            received=f"token {max(tokens)}",
            expected=f"0 to {vocabulary_size - 1}",
            fix="take the ids from the model's own tokenizer",
        )
        allowed[row] = _NEGATIVE_INFINITY
        allowed[row, list(tokens)] = 0
    if not dead_ends:
        _refuse_nothing_left(logits, allowed, constraints, histories, eos_ids)
    return allowed


def _forced(constraints: Constraints, position: int, max_new_tokens: int) -> tuple[int, ...]:
    """What the token at this position of the answer must be one of; empty for anything."""
    if constraints.forced_last and position == max_new_tokens - 1:
        return constraints.forced_last
    return constraints.forced[position : position + 1]


def _banned(constraints: Constraints, history: History, eos_ids: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Each rule that forbids something now, and the tokens; what is banned always is not among them."""
    position = len(history.new)
    if position < constraints.min_new_tokens:
        yield "min_new_tokens", eos_ids
    if constraints.banned_first and position == len(constraints.forced):
        yield "banned_first", constraints.banned_first
    for length, table in constraints.completions.items():
        yield "banned", table.get(_last(history, length), ())
    if constraints.no_repeat_ngram:
        yield "no_repeat_ngram", _would_repeat(history, constraints.no_repeat_ngram)


def _last(history: History, count: int) -> tuple[int, ...]:
    """The newest ``count`` tokens, or fewer where there are no more."""
    missing = count - len(history.new)
    if missing <= 0:
        return tuple(history.new[-count:])
    return (*history.prompt[-missing:], *history.new)


def _would_repeat(history: History, size: int) -> list[int]:
    """The tokens that would complete a run of ``size`` for the second time."""
    tokens = history.tokens()
    if len(tokens) < size:
        return []
    runs = tokens.unfold(0, size, 1)
    begun = (runs[:, :-1] == tokens[len(tokens) - size + 1 :]).all(-1)
    return runs[begun, -1].tolist()


def _refuse_nothing_left(
    logits: Tensor, allowed: Tensor, constraints: Constraints, histories: Sequence[History], eos_ids: Sequence[int]
) -> None:
    nothing = (allowed.amax(-1) == _NEGATIVE_INFINITY) & (logits.amax(-1) > _NEGATIVE_INFINITY)
    if not bool(nothing.any()):
        return
    history = histories[int(nothing.nonzero()[0])]
    rules = dict.fromkeys(["banned"] if constraints.banned_always else [])
    rules |= dict.fromkeys(rule for rule, tokens in _banned(constraints, history, eos_ids) if tokens)
    raise ConfigError(
        "the constraints leave no token to choose from",
        received=", ".join(f"{rule}={_shortened(getattr(constraints, rule))}" for rule in rules)
        + f", after {len(history.new)} new tokens",
        expected="at least one token that may come next",
        fix=f"loosen {' or '.join(rules)}",
    )


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
