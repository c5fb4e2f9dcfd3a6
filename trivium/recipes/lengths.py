"""Examples that are longer than a row of the batch: left out, cut, or refused, as was chosen, and counted."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Literal

from trivium.data.examples import Example
from trivium.errors import DataError

TooLong = Literal["drop", "cut", "refuse"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """Examples that fit, and what became of the others."""

    examples: Sequence[Example]
    dropped: int
    """Left out: too long, or with nothing left to learn once cut."""
    cut: int
    """Kept without their ends."""
    longest: int
    """Tokens of input of the longest, as it came."""


def fitted(examples: Sequence[Example], context_tokens: int, too_long: TooLong) -> Fitted:
    """`examples` with at most `context_tokens` tokens of input each; the last id is only a target.

    What is cut is the end, and the token that ends an answer with it: a model that is shown half an answer must not
    learn that it ends there. Raises `DataError` for a long example with "refuse", for one in which nothing is to be
    written, and where none is left.
    """
    kept, dropped, cut = [], 0, 0
    for number, example in enumerate(examples, start=1):
        if not any(example.trained):
            raise DataError(
                "an example has nothing to learn: none of its tokens is to be written by the model",
                received=f"example {number} of {len(examples)}, of {len(example.ids)} tokens",
                fix="give it an answer, or remove it",
            )
        if len(example.ids) - 1 <= context_tokens:
            kept.append(example)
        elif too_long == "cut" and any(example.trained[: context_tokens + 1]):
            end = context_tokens + 1
            kept.append(Example(ids=example.ids[:end], trained=example.trained[:end]))
            cut += 1
        else:
            dropped += 1
    longest = max((len(example.ids) - 1 for example in examples), default=0)
    if dropped and (too_long == "refuse" or not kept):
        others = [f"too_long to {other}" for other in _others(too_long, some_fit=bool(kept))]
        raise DataError(
            f"{dropped:,} of {len(examples):,} examples are longer than the context"
            + (", and cut to it they hold nothing to learn" if too_long == "cut" else ""),
            received=f"up to {longest:,} tokens",
            expected=f"at most {context_tokens:,} tokens of prompt and completion",
            fix=", or ".join([f"set context_tokens to {longest}", *others]),
        )
    return Fitted(examples=kept, dropped=dropped, cut=cut, longest=longest)


def _others(too_long: TooLong, *, some_fit: bool) -> list[str]:
    """What else may be chosen where long examples cannot be treated so; those that fit are what dropping leaves."""
    return ["cut"] * (too_long != "cut") + ["drop"] * (too_long == "refuse" and some_fit)


def tell(fitting: Fitted, examples: int, context_tokens: int) -> None:
    """Says on standard error what became of those of so many examples that are too long."""
    for count, what in ((fitting.dropped, "left out"), (fitting.cut, "cut at the end")):
        if count:
            print(
                f"{count:,} of {examples:,} examples are longer than {context_tokens} tokens and are {what}; "
                f"context_tokens {fitting.longest} would keep them all",
                file=sys.stderr,
            )
