"""How the examples of a tuning are mixed: tasks by weight or temperature, classes and groups in balance, and what is
rehearsed among them.

    mixing = MixingConfig(temperature=2.0)
    source = mixed_source(examples, mixing, Batching(vocabulary_size=4096, context_tokens=256, rows=8))

Without settings every example is read once a pass, whatever its task. Which rows of which batch are of which task, or
rehearsed, follows from their numbers alone: a resumed run goes on the same.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from trivium.data.balance import shares
from trivium.data.balanced import MOST_PASSES, balanced
from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import Batching, MixedExamplesSource, TaskMixture, mixing_rates
from trivium.errors import ConfigError, DataError

UNNAMED = "other"
"""The task of examples that name none."""
NEW, OLD = "new", "rehearsed"
"""What is trained on, where its tasks are not told apart, and what is rehearsed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """How often what is read; tasks, classes and groups are those that the lines of the data name."""

    weights: dict[str, float] | None = None
    """Of each task, of any sum: the share of the examples that are read; null for the tasks' sizes."""
    size_limit: int | None = None
    """No task counts as larger than this many examples; without weights only."""
    temperature: float = 1.0
    """1 leaves the weights, 2 and more lift the small tasks: shares are taken to the power 1 / temperature."""
    balance: Literal["none", "label", "group"] = "none"
    """Within each task, examples of rare labels or of small groups are read more often."""
    exponent: float = 0.0
    """Of balance: 0 makes all labels equal, 1 leaves them as they are."""
    most_passes: float = MOST_PASSES
    """Of balance: how often an example is read while the most common ones are read once."""

    def __post_init__(self) -> None:
        self.mixture  # noqa: B018 (it refuses what cannot be)

    @property
    def mixture(self) -> TaskMixture:
        """What is said of tasks."""
        return TaskMixture(weights=self.weights, size_limit=self.size_limit, temperature=self.temperature)

    @property
    def by_task(self) -> bool:
        """Whether tasks are read in other shares than those of their sizes."""
        return self.mixture != TaskMixture()


def mixed_source(
    examples: Sequence[Example],
    config: MixingConfig,
    batching: Batching,
    *,
    old: Sequence[Example] = (),
    old_share: float = 0.0,
) -> ExamplesSource | MixedExamplesSource:
    """Batches of ``examples``, which know their task, label and group; all fit.

    With ``old`` ones, ``old_share`` of the tokens are theirs, and the rest is mixed as it would be without them.

    Raises:
        DataError: as `ExamplesSource`; no label or group to balance by.
        ConfigError: as `mixing_rates`; there are no tasks to weigh.
    """
    tasks: dict[str, list[Example]] = {}
    for example in examples:
        tasks.setdefault(example.task or UNNAMED, []).append(example)
    chosen = {task: _in_balance(each, config, batching.seed) for task, each in tasks.items()}
    if config.by_task:
        _require_tasks(tasks, rehearsing=bool(old))
        rates = mixing_rates({task: len(each) for task, each in tasks.items()}, config.mixture)
    else:
        together = [example for each in chosen.values() for example in each]
        if not old:
            return ExamplesSource(together, **dataclasses.asdict(batching))
        chosen, rates = {NEW: together}, {NEW: 1.0}
    if not old:
        return MixedExamplesSource(chosen, rates, batching)
    of_tokens = {task: (1 - old_share) * share for task, share in _of_tokens(chosen, rates).items()} | {OLD: old_share}
    return MixedExamplesSource({**chosen, OLD: old}, of_tokens, batching, rate_of="tokens")


def batches_in_pass(source: ExamplesSource | MixedExamplesSource) -> float:
    """Batches until as much was read of what is trained on as there is, rehearsal not counted; not always whole."""
    if isinstance(source, ExamplesSource):
        return source.batches_per_epoch
    return source.batches_for(*(task for task in source.passes if task != OLD))


def _require_tasks(tasks: Mapping[str, Sequence[Example]], *, rehearsing: bool) -> None:
    if set(tasks) == {UNNAMED}:
        raise ConfigError(
            "there are no tasks to mix",
            received=f"{len(tasks[UNNAMED]):,} examples, none with a task",
            expected='lines with "task", as `trivium prepare --task` writes them',
            fix="leave weights, size_limit and temperature out",
        )
    if rehearsing and OLD in tasks:
        raise ConfigError(
            "a task has the name of what is rehearsed", received=OLD, fix='give the lines of it another "task"'
        )


def _of_tokens(tasks: Mapping[str, Sequence[Example]], rates: Mapping[str, float]) -> dict[str, float]:
    """Shares of the tokens, of sum 1, from shares of the examples."""
    tokens = {task: sum(len(example.ids) - 1 for example in each) / len(each) for task, each in tasks.items()}
    return shares({task: rate * tokens[task] for task, rate in rates.items()})


def _in_balance(examples: Sequence[Example], config: MixingConfig, seed: int) -> Sequence[Example]:
    if config.balance == "none":
        return examples
    keys = [_key(example, number, config.balance) for number, example in enumerate(examples)]
    order = balanced(keys, exponent=config.exponent, most_passes=config.most_passes, seed=seed)
    return [examples[place] for place in order.tolist()]


def _key(example: Example, number: int, by: Literal["label", "group"]) -> str:
    key = example.label if by == "label" else example.group
    if key is None:
        raise DataError(
            f"an example has no {by} to balance by",
            received=f"example {number} of {example.task or UNNAMED}, counted from 0",
            fix=f'give each line a "{by}", or set balance to none',
        )
    return key
