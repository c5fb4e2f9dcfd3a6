"""What a reward model is trained on: judgements of answers, as rows of ids with what was said of them."""

import collections
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from trivium.data.bucketed import BucketedSource
from trivium.data.columns import columns_of
from trivium.data.comparison_batches import Compared, Said, comparison_source
from trivium.data.labelled_batches import labelled_source
from trivium.data.preferences.judged import Judged
from trivium.data.preferences.pairs import pairs_of, split
from trivium.data.preferences.read import read_preferences, told
from trivium.errors import ConfigError, DataError
from trivium.lm.reading import reads_types
from trivium.lm.reward_rows import RewardFacts, plain_row, reward_rows
from trivium.recipes.align.reward_config import LossName, RewardConfig
from trivium.tokenizers import Tokenizer
from trivium.tokenizers.joined import Joined

_HELD_OUT = 0.1
_MOST_GRADES = 20
GOOD = "good"
"""The criterion of answers that are only said to be good or bad."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgements:
    """What was said, and what is made of it."""

    training: list[Judged]
    held_out: list[Judged]
    loss: LossName
    criteria: tuple[str, ...]
    """What is scored, in the order of the head's outputs."""
    grades: tuple[tuple[float, ...], ...] = ()
    """ordinal: the grades of each criterion that the training data has, the lowest first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one side, ready for batches."""

    compared: Sequence[Compared] = ()
    """bradley-terry: prompts with their answers."""
    ids: Sequence[np.ndarray] = ()
    """Every row, in the order of the data, each once; in 4 bytes a token, where a list of numbers takes 40."""
    types: Sequence[np.ndarray] | None = None
    """Token types of each, for networks that are told."""
    labels: Sequence[Sequence[float]] = ()
    """Of the other losses, what was said of each row: a number, or the place of a grade, by each criterion."""
    cut: int = 0
    """Rows that are too long, and lost their beginning."""


def read_judgements(config: RewardConfig, *, tell: bool = False) -> Judgements:
    """The data of a run; with `tell`, what was found is printed to stderr. Raises `UserError`."""
    columns = columns_of(config.columns) or None
    reading = read_preferences(config.data, columns=columns)
    if tell:
        print(told(reading.judged, reading.left_out), file=sys.stderr)
    loss = config.loss or _usual_loss(reading.judged)
    criteria = _criteria(config, loss, reading.judged)
    if config.validation is None:
        training, held_out = split(reading.judged, _HELD_OUT)
    else:
        training, held_out = reading.judged, read_preferences(config.validation, columns=columns).judged
    grades = _grades(training, criteria) if loss == "ordinal" else ()
    found = Judgements(training=training, held_out=held_out, loss=loss, criteria=criteria, grades=grades)
    if tell and loss == "bradley-terry":
        print(f"to train on: {pairs_of(training, from_scores=_from_scores(found)).told}", file=sys.stderr)
    return found


def rows_of(
    judged: Sequence[Judged],
    made: Judgements,
    network: nn.Module,
    tokenizer: Tokenizer,
    facts: RewardFacts,
    *,
    margins: bool = False,
) -> Rows:
    """The rows of `judged`, as the network reads them; raises as `reward_rows`, with the line in the file."""
    ids: list[np.ndarray] = []
    types: list[np.ndarray] | None = [] if reads_types(network) else None
    compared: list[Compared] = []
    labels: list[Sequence[float]] = []
    cut = 0
    by_prompt = _said_of(judged, made, margins=margins) if made.loss == "bradley-terry" else {}
    for place, each in enumerate(judged):
        numbers = [] if by_prompt else _labels_of(each, made)
        if place not in by_prompt and not numbers:
            continue
        try:
            rows, more = reward_rows(network, tokenizer, [each.messages] * len(each.answers), each.answers, facts)
        except DataError as error:
            where = f"{each.where}: {error.received}"
            raise DataError(error.what, received=where, expected=error.expected, fix=error.fix) from error
        cut += more
        own = tuple(np.array(row.ids, dtype=np.int32) for row in rows)
        own_types = None if types is None else tuple(np.array(row.types, dtype=np.int32) for row in rows)
        ids += own
        if types is not None and own_types is not None:
            types += own_types
        labels += numbers
        if place in by_prompt:
            compared.append(Compared(rows=own, said=tuple(by_prompt[place]), types=own_types))
    return Rows(compared=compared, ids=ids, types=types, labels=labels, cut=cut)


def reference_of(rows: Rows, most: int) -> list[Joined]:
    """At most so many of the rows, from all over them, to be scored."""
    count = min(most, len(rows.ids))
    places = [index * len(rows.ids) // count for index in range(count)]
    if rows.types is None:
        return [plain_row(rows.ids[place].tolist()) for place in places]
    types = rows.types
    return [
        Joined(ids=rows.ids[place].tolist(), types=types[place].tolist(), sides=[0] * len(types[place]), offsets=[])
        for place in places
    ]


def source_of(
    rows: Rows, made: Judgements, *, batch: int, seed: int, rank: int = 0, world: int = 1
) -> Callable[[], BucketedSource[Any]]:
    """What makes a process's source of batches. Raises `DataError` where nothing can be learnt from."""
    if not rows.ids:
        raise DataError(
            "there is nothing to learn from",
            received=f"no answers with what the loss {made.loss} needs",
            expected="answers of which one is better, or that have scores, or are good or bad",
        )
    settings = {"rows": batch, "seed": seed, "rank": rank, "world": world}
    if made.loss == "bradley-terry":
        return functools.partial(comparison_source, rows.compared, criteria=len(made.criteria), **settings)
    labels = rows.labels if len(made.criteria) > 1 else [label for (label,) in rows.labels]
    return functools.partial(labelled_source, rows.ids, labels, types=rows.types, **settings)


def shares_of(rows: Rows, made: Judgements) -> list[list[float]]:
    """How much of the rows has each grade of each criterion."""
    columns = [collections.Counter(column) for column in zip(*rows.labels, strict=True)]
    return [
        [counts[place] / len(rows.labels) for place in range(len(grades))]
        for counts, grades in zip(columns, made.grades, strict=True)
    ]


def _said_of(judged: Sequence[Judged], made: Judgements, *, margins: bool) -> dict[int, list[Said]]:
    """What was said of the answers to each prompt, by its place."""
    number = {name: index for index, name in enumerate(made.criteria)}
    found: dict[int, list[Said]] = collections.defaultdict(list)
    for pair in pairs_of(judged, from_scores=_from_scores(made)).pairs:
        if pair.criterion in number:
            answers = judged[pair.group].answers
            found[pair.group] += [
                Said(
                    better=answers.index(better),
                    worse=answers.index(worse),
                    criterion=number[pair.criterion],
                    weight=weight,
                    margin=(pair.margin or 0.0) if margins else 0.0,
                )
                for better, worse, weight in pair.directed
            ]
    return found


def _from_scores(made: Judgements) -> bool:
    """Whether scores are taken for rankings: where nothing is ranked."""
    return not any(each.ranks for each in (*made.training, *made.held_out))


def _labels_of(judged: Judged, made: Judgements) -> list[list[float]]:
    """By each criterion, what was said of each answer; nothing where a criterion is missing."""
    if made.loss == "logistic":
        return [[float(good)] for good in judged.good or ()]
    if any(name not in judged.scores for name in made.criteria):
        return []
    columns = [judged.scores[name] for name in made.criteria]
    if made.loss == "ordinal":
        columns = [
            [_place(score, grades, judged) for score in column]
            for column, grades in zip(columns, made.grades, strict=True)
        ]
    return [list(row) for row in zip(*columns, strict=True)]


def _place(score: float, grades: Sequence[float], judged: Judged) -> int:
    if score not in grades:
        raise DataError(
            "a grade occurs in what is held out, and nowhere in what is trained on",
            received=f"{judged.where}: {score:g}",
            expected=", ".join(f"{grade:g}" for grade in grades),
            fix="set loss to regression",
        )
    return list(grades).index(score)


def _usual_loss(judged: Sequence[Judged]) -> LossName:
    if any(each.ranks for each in judged):
        return "bradley-terry"
    return "regression" if any(each.scores for each in judged) else "logistic"


def _criteria(config: RewardConfig, loss: LossName, judged: Sequence[Judged]) -> tuple[str, ...]:
    """Those that are named, else all there are."""
    if loss == "logistic":
        found: Iterable[str] = [GOOD] if any(each.good is not None for each in judged) else []
    elif loss == "bradley-terry":
        found = _names(each.ranks for each in judged) or _names(each.scores for each in judged)
    else:
        found = _names(each.scores for each in judged)
    known = tuple(dict.fromkeys(found))
    lacking = [name for name in config.criteria if name not in known]
    if lacking or not known:
        raise ConfigError(
            f"the data has nothing for the loss {loss}" + (f" by {', '.join(lacking)}" if lacking else ""),
            received=", ".join(config.criteria) or f"{len(judged):,} judgements",
            expected=", ".join(known) or "rankings or pairs, scores, or answers that are good or bad",
            fix="leave loss and criteria out: they are then what the data has",
        )
    return config.criteria or known


def _names(said: Iterable[Mapping[str, Any]]) -> list[str]:
    return [name for each in said for name in each]


def _grades(judged: Sequence[Judged], criteria: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    found = [tuple(sorted({score for each in judged for score in each.scores.get(name, ())})) for name in criteria]
    for name, grades in zip(criteria, found, strict=True):
        if not 2 <= len(grades) <= _MOST_GRADES:
            raise DataError(
                f"these are no grades: {name} has {len(grades):,} different scores",
                expected=f"2 to {_MOST_GRADES}",
                fix="set loss to regression",
            )
    return tuple(found)
