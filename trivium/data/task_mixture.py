"""Examples of several tasks in one training: how often each task is read, and batches of all of them.

rates = mixing_rates({"sentiment": 60_000, "summaries": 900}, TaskMixture(temperature=2.0))
source = MixedExamplesSource(examples, rates, Batching(vocabulary_size=4096, context_tokens=256, rows=8))
batch = next(source)                # its rows are shared out among the tasks; each row holds examples of one
source.passes                       # {"sentiment": 0.2, "summaries": 1.4}

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section 3.5.2:
tasks are read in proportion to their sizes, of which none counts as more than an artificial limit K, and a temperature
T lifts the small ones (all shares to the power 1/T). T = 1 is plain proportion, a large T is equal shares.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trivium.config import did_you_mean
from trivium.data.balance import shares, tempered
from trivium.data.batches import CausalBatch
from trivium.data.examples import Example, PackedExamples, fitting
from trivium.data.order import random_number, shuffled
from trivium.data.resumable import ShuffledSource, check_sizes
from trivium.errors import ConfigError, DataError

RateOf = Literal["examples", "tokens"]
"""What the shares are shares of: the examples that are read, or their tokens."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_COUNTED_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TaskMixture:
    """How much of each task is read."""

    weights: dict[str, float] | None = None
    """Of each task, of any sum; without, the numbers of examples are the weights."""
    size_limit: int | None = None
    """No task counts as larger than this (T5's artificial limit K); without weights only."""
    temperature: float = 1.0
    """1 leaves the weights, a larger one lifts what is small: shares are taken to the power 1 / temperature."""

    def __post_init__(self) -> None:
        if not 1 <= self.temperature < math.inf:
            raise ConfigError("the temperature of a mixture must be 1 or more", received=self.temperature, fix="set 2")
        if self.size_limit is not None and self.size_limit < 1:
            raise ConfigError("the limit of a task's size must be 1 or more", received=self.size_limit)
        if self.weights is not None and self.size_limit is not None:
            raise ConfigError(
                "a limit of sizes says nothing where weights are given",
                received=f"size_limit {self.size_limit:,} and weights",
                fix="leave one of them out",
            )


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How examples become batches, and which part of them is this process's."""

    vocabulary_size: int
    context_tokens: int
    """Of a row."""
    rows: int
    """Of a batch, of all processes together."""
    seed: int = 0
    """Of the order."""
    rank: int = 0
    world: int = 1


def mixing_rates(sizes: Mapping[str, int], mixture: TaskMixture) -> dict[str, float]:
    """The share of each task, of sum 1, from its number of examples.

    Raises:
        DataError: a task without examples, or no task.
        ConfigError: a weight for what is no task, a task without one, or a weight that is not above 0.
    """
    if mixture.weights is None:
        limit = math.inf if mixture.size_limit is None else mixture.size_limit
        return tempered({task: min(size, limit) for task, size in sizes.items()}, 1 / mixture.temperature)
    _check_names(mixture.weights, sizes)
    return tempered({task: mixture.weights[task] for task in sizes}, 1 / mixture.temperature)


class MixedExamplesSource(ShuffledSource[CausalBatch]):
    """Examples of several tasks, each task in an order and with passes of its own.

    Which task a row is of follows from the row's number in the whole training alone: the multiples of the golden ratio
    fall into the shares so evenly that any n rows in turn hold n times each share, give or take about one. A row holds
    examples of one task, packed and unseen by each other.
    """

    def __init__(
        self,
        tasks: Mapping[str, Sequence[Example]],
        rates: Mapping[str, float],
        batching: Batching,
        *,
        rate_of: RateOf = "examples",
    ):
        """``rates`` are the shares of the tasks, of any sum, as `rate_of` counts them.

        Raises:
            DataError: as `ExamplesSource` for the examples of any one task.
            ConfigError: a rate for what is no task, a task without one, a rate that is not above 0, or fewer rows than
                ranks.
        """
        context_tokens, rows, seed = batching.context_tokens, batching.rows, batching.seed
        check_sizes(context_tokens, rows, batching.world)
        _check_names(rates, tasks)
        for task, examples in tasks.items():
            _check_fitting(task, examples, context_tokens)
        self._names = list(tasks)
        self._packed = PackedExamples(
            list(tasks.values()), vocabulary_size=batching.vocabulary_size, context_tokens=context_tokens
        )
        self._rows = np.diff(self._packed.row_starts)
        held = [_units(tasks[task], rate_of) / n for task, n in zip(self._names, self._rows.tolist(), strict=True)]
        of_rows = shares({task: rates[task] / units for task, units in zip(self._names, held, strict=True)})
        self._ends = np.cumsum(list(of_rows.values()))
        self._offset = np.uint64(random_number(seed, 0, 1 << 63))
        self._seeds = [random_number(seed, number + 1, 1 << 63) for number in range(len(self._names))]
        self._counted = (0, np.zeros(len(self._names), dtype=np.int64))
        identity = self._packed.identity("mixed examples", rows) | {"shares": of_rows}
        super().__init__(
            identity,
            items=self._packed.rows,
            items_per_batch=rows,
            seed=seed,
            rank=batching.rank,
            world=batching.world,
        )

    @property
    def fill(self) -> float:
        """Fraction of positions that hold a token, where every row is read as often as any other."""
        return self._packed.fill

    @property
    def passes(self) -> dict[str, float]:
        """Passes over each task so far."""
        return self._passes(self._consumed)

    def passes_after(self, batches: int) -> dict[str, float]:
        """Passes over each task that ``batches`` global batches from the beginning make."""
        return self._passes(batches * self._items_per_batch)

    def batches_for(self, *tasks: str) -> float:
        """Global batches until as many rows of ``tasks`` were read as they have; not always whole."""
        chosen = np.isin(self._names, tasks)
        return float(self._rows[chosen].sum() / np.diff(self._ends, prepend=0.0)[chosen].sum() / self._items_per_batch)

    def _passes(self, rows: int) -> dict[str, float]:
        counts = self._counts(rows) / self._rows
        return dict(zip(self._names, counts.tolist(), strict=True))

    def _batch(self, epochs: np.ndarray, places: np.ndarray) -> CausalBatch:
        numbers = epochs * self._items + places
        before = self._counts(int(numbers[0]))
        task = self._task_of(numbers)
        rows = np.zeros(len(numbers), dtype=np.int64)
        for each, size in enumerate(self._rows.tolist()):
            mine = task == each
            turns = before[each] + np.arange(mine.sum())
            order = shuffled(turns % size, size, seed=self._seeds[each], epochs=turns // size)
            rows[mine] = self._packed.row_starts[each] + order
        self._counted = (int(numbers[-1]) + 1, before + np.bincount(task, minlength=len(self._names)))
        return self._packed.batch(rows[self._share(len(rows))])

    def _counts(self, rows: int) -> np.ndarray:
        """How many of the first ``rows`` rows are of each task, [tasks]; counted on from the last batch."""
        number, counts = self._counted if self._counted[0] <= rows else (0, np.zeros_like(self._counted[1]))
        while number < rows:
            end = min(rows, number + _COUNTED_AT_ONCE)
            counts = counts + np.bincount(self._task_of(np.arange(number, end)), minlength=len(self._names))
            number = end
        return counts

    def _task_of(self, numbers: np.ndarray) -> np.ndarray:
        """The task of each row of the training, [n] int64."""
        turned = numbers.astype(np.uint64) * _GOLDEN + self._offset  # modulo 2 ** 64
        found = np.searchsorted(self._ends, turned.astype(np.float64) / 2.0**64, side="right")
        return np.minimum(found, len(self._names) - 1)


def _check_fitting(task: str, examples: Sequence[Example], context_tokens: int) -> None:
    try:
        fitting(examples, context_tokens, drop_long=False)
    except DataError as error:
        received = f"task {task}: {error.received}"
        raise DataError(error.what, received=received, expected=error.expected, fix=error.fix) from error


def _units(examples: Sequence[Example], rate_of: RateOf) -> int:
    return len(examples) if rate_of == "examples" else sum(len(example.ids) - 1 for example in examples)


def _check_names(weights: Mapping[str, float], tasks: Mapping[str, object]) -> None:
    for task, weight in weights.items():
        if task not in tasks:
            raise ConfigError(
                "a weight is given to a task that is not there",
                received=task,
                expected=", ".join(tasks),
                fix=did_you_mean(task, tasks),
            )
        if not 0 < weight < math.inf:
            raise ConfigError(
                "the weight of a task must be above 0", received=f"{task}: {weight}", fix="leave the task out"
            )
    missing = [task for task in tasks if task not in weights]
    if missing:
        raise ConfigError(
            "a task has no weight", received=f"weights for {', '.join(weights)}", expected=f"one for {missing[0]} too"
        )
