"""The preferences that a policy is trained on directly: read, split by prompt and encoded; what does not fit counts."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from trivium.data.columns import columns_of
from trivium.data.conversations import Turn
from trivium.data.examples import Example
from trivium.data.preference_batches import JudgedExample, PairExample, with_mismatched
from trivium.data.preferences.judged import Judged
from trivium.data.preferences.pairs import pairs_of
from trivium.data.preferences.read import read_preferences, told
from trivium.data.splits import is_held_out
from trivium.errors import DataError
from trivium.lm.turns import answered_ids
from trivium.recipes.align.dpo_config import DPOConfig
from trivium.runtime import processes
from trivium.tokenizers import Tokenizer

HELD_OUT = 0.05
"""Share of the prompts that is held out, where no file to measure on is given."""

Item = PairExample | JudgedExample
Sort = TypeVar("Sort")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Items:
    """What is trained and measured on: pairs, or for kto answers."""

    training: Sequence[Item]
    """Those that are learnt from; one at least."""
    held_out: Sequence[Item]
    """Those that are measured on."""
    dropped: int
    """Left out of both: with a text that is too long, or, once cut, of two equal ones."""
    cut: int
    """Texts without their ends."""
    longest: int
    """Tokens of input of the longest text, as it came."""

    @property
    def what(self) -> str:
        """What they are called."""
        return "pairs" if isinstance(self.training[0], PairExample) else "answers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Asked:
    """One or two answers to a prompt, as texts."""

    prompt: str
    """What it is held out by."""
    messages: tuple[Turn, ...]
    answers: tuple[str, ...]
    good: bool = True
    """Of one answer."""
    weight: float = 1.0
    margin: float | None = None
    probability: float = 1.0
    where: str


def read_items(config: DPOConfig, tokenizer: Tokenizer) -> Items:
    """Encoded, none of them too long; those of one prompt are all on one side.

    Raises `DataError` for a file that cannot be used, one without what the objective learns from, and one of which
    nothing fits; `ConfigError` for a criterion that there is not.
    """
    choose = _labelled if config.objective == "kto" else _paired
    asked = choose(config, _read(config, config.data))
    if config.margin_weight and not any(each.margin for each in asked):
        raise DataError(
            "no pair has a margin",
            received=f"margin_weight {config.margin_weight}, {config.data}",
            fix="leave margin_weight out, or give the data margins or scores",
        )
    if config.validation is not None:
        training, held_out = asked, choose(config, _read(config, config.validation))
    else:
        training = [each for each in asked if not is_held_out(each.prompt, HELD_OUT)]
        held_out = [each for each in asked if is_held_out(each.prompt, HELD_OUT)]
    fit = _Fit(config, tokenizer)
    items = [fit(each) for each in training]
    measured = [fit(each) for each in held_out]
    return fit.items(_there(items), _there(measured))


def tell(items: Items, context_tokens: int) -> None:
    """Says on standard error what became of texts that are too long."""
    if items.dropped:
        print(
            f"{items.dropped:,} {items.what} have a text of more than {context_tokens} tokens and are left out; "
            f"context_tokens {items.longest} would keep them all",
            file=sys.stderr,
        )
    if items.cut:
        print(f"{items.cut:,} texts are cut at the end, to {context_tokens} tokens", file=sys.stderr)


def _read(config: DPOConfig, path: pathlib.Path) -> list[Judged]:
    reading = read_preferences(path, columns=columns_of(config.columns) or None)
    if processes.place().is_first:
        print(told(reading.judged, reading.left_out), file=sys.stderr)
    return reading.judged


def _paired(config: DPOConfig, judged: Sequence[Judged]) -> list[_Asked]:
    """The pairs of what was ranked."""
    found = pairs_of(judged, config.criterion, from_scores=config.from_scores)
    if not found.pairs:
        raise DataError(
            "there are no pairs of which one answer is better",
            received=_no_pairs(judged) or found.told,
            expected="pairs, or rankings that are no ties, of different answers",
            fix=_instead(config, judged),
        )
    if processes.place().is_first:
        print(found.told, file=sys.stderr)
    return [
        _Asked(
            prompt=judged[pair.group].asked,
            messages=pair.messages,
            answers=(pair.chosen, pair.rejected),
            weight=pair.weight,
            margin=pair.margin,
            probability=pair.probability,
            where=pair.where,
        )
        for pair in found.pairs
    ]


def _no_pairs(judged: Sequence[Judged]) -> str | None:
    """What there is where nothing is ranked at all."""
    if any(each.ranks for each in judged):
        return None
    kinds = {"scores": any(each.scores for each in judged), "labels": any(each.good for each in judged)}
    return " and ".join(name for name, there in kinds.items() if there) or "answers of which nothing is said"


def _instead(config: DPOConfig, judged: Sequence[Judged]) -> str:
    if not config.from_scores and any(each.scores for each in judged):
        return "set from_scores to make pairs of scores"
    if any(each.good is not None for each in judged):
        return "choose the objective kto, which learns from good and bad answers"
    return "check the data: trivium align label makes pairs of answers"


def _labelled(config: DPOConfig, judged: Sequence[Judged]) -> list[_Asked]:
    """The good answers and the bad ones; where nothing says so, those that were liked better and worse."""
    if any(each.good is not None for each in judged):
        asked = [
            _Asked(prompt=each.asked, messages=each.messages, answers=(answer,), good=good, where=each.where)
            for each in judged
            if each.good is not None
            for answer, good in zip(each.answers, each.good, strict=True)
        ]
    else:
        asked = [
            dataclasses.replace(pair, answers=(answer,), good=good, weight=pair.weight * probability)
            for pair in _paired(config, judged)
            for probability, ways in ((pair.probability, (True, False)), (1 - pair.probability, (False, True)))
            for answer, good in zip(pair.answers, ways, strict=True)
            if probability
        ]
    classes = {each.good for each in asked}
    if len(classes) < 2:
        raise DataError(
            "all answers are of one kind, and what sets the others apart cannot be learnt",
            received=f"{len(asked):,} answers, all {'good' if classes == {True} else 'bad'}",
            expected="good answers and bad ones",
            fix="add the others; good answers alone are what trivium finetune learns from",
        )
    return asked


class _Fit:
    """Encodes, and leaves out or cuts what is too long."""

    def __init__(self, config: DPOConfig, tokenizer: Tokenizer) -> None:
        self._config, self._tokenizer = config, tokenizer
        self._dropped = self._cut = self._longest = 0
        self._where_longest = ""

    def __call__(self, asked: _Asked) -> Item | None:
        """None for what is left out."""
        whole = [self._encoded(asked, answer) for answer in asked.answers]
        texts = [self._shortened(example, asked.where) for example in whole]
        kept = [text for text in texts if text is not None]
        if len(kept) < len(whole) or len({tuple(text.ids) for text in kept}) < len(whole):
            self._dropped += 1
            return None
        self._cut += sum(len(text.ids) < len(example.ids) for text, example in zip(kept, whole, strict=True))
        if len(kept) == 2:
            return PairExample(
                chosen=kept[0],
                rejected=kept[1],
                weight=asked.weight,
                margin=asked.margin or 0.0,
                probability=asked.probability,
            )
        prompt = json.dumps([(turn["role"], turn["content"]) for turn in asked.messages])
        return JudgedExample(answer=kept[0], good=asked.good, prompt=prompt, weight=asked.weight)

    def items(self, training: list[Item], held_out: list[Item]) -> Items:
        """What was encoded. Raises `DataError` where nothing is left, or too little to estimate a divergence from."""
        if not training:
            raise DataError(
                "nothing is left to train on",
                received=f"{self._dropped:,} with a text of up to {self._longest:,} tokens"
                if self._dropped
                else "prompts that are all held out",
                expected=f"at most {self._config.context_tokens:,} tokens of prompt and answer",
                fix=f"set context_tokens to {self._longest}" if self._dropped else "give more prompts, or a validation",
            )
        return Items(
            training=self._complete(training),
            held_out=self._complete(held_out) if self._measurable(held_out) else [],
            dropped=self._dropped,
            cut=self._cut,
            longest=self._longest,
        )

    def _complete(self, items: list[Item]) -> Sequence[Item]:
        """Answers get a mismatched one beside them."""
        judged = [item for item in items if isinstance(item, JudgedExample)]
        if not judged:
            return items
        return with_mismatched(judged, context_tokens=self._config.context_tokens, seed=self._config.seed)

    def _measurable(self, items: list[Item]) -> bool:
        prompts = {item.prompt for item in items if isinstance(item, JudgedExample)}
        return not prompts or len(prompts) > 1

    def _encoded(self, asked: _Asked, answer: str) -> Example:
        """Raises `DataError` that says where the line stands."""
        try:
            prompt, written = answered_ids(self._tokenizer, asked.messages, answer, self._config.prompt_format)
        except DataError as error:
            received = asked.where if error.received is None else f"{asked.where}: {error.received}"
            raise DataError(error.what, received=received, expected=error.expected, fix=error.fix) from error
        return Example(ids=[*prompt, *written], trained=[False] * len(prompt) + [True] * len(written))

    def _shortened(self, example: Example, where: str) -> Example | None:
        """As it is where it fits; one that is cut is not learnt to end there. None: no answer is left of it."""
        limit, length = self._config.context_tokens, len(example.ids) - 1  # the last id is only a target
        self._longest = max(self._longest, length)
        if length <= limit:
            return example
        if self._config.too_long == "refuse":
            raise DataError(
                "a text is longer than the context",
                received=f"{where}: {length:,} tokens",
                expected=f"at most {limit:,} tokens of prompt and answer",
                fix=f"set context_tokens to {length}, or too_long to drop or cut",
            )
        if self._config.too_long == "drop" or not any(example.trained[: limit + 1]):
            return None
        return Example(ids=example.ids[: limit + 1], trained=example.trained[: limit + 1])


def _there(items: Iterable[Sort | None]) -> list[Sort]:
    return [item for item in items if item is not None]
