"""How the examples of a tuning are mixed: tasks by weight or temperature, classes and groups in balance.

    mixing = MixingConfig(temperature=2.0)
    source = mixed_source(examples, mixing, vocabulary_size=4096, context_tokens=256, rows=8)

Without settings every example is read once a pass, whatever its task.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from trivium.data.balanced import MOST_PASSES, balanced
from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import MixedExamplesSource, TaskMixture, mixing_rates
from trivium.errors import ConfigError, DataError

UNNAMED = "other"
"""The task of examples that name none."""


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
    *,
    vocabulary_size: int,
    context_tokens: int,
    rows: int,
    seed: int = 0,
    drop_long: bool = False,
    rank: int = 0,
    world: int = 1,
) -> ExamplesSource | MixedExamplesSource:
    """Batches of ``examples``, which know their task, label and group.

    Raises:
        DataError: as `ExamplesSource`; no label or group to balance by.
        ConfigError: as `mixing_rates`; there are no tasks to weigh.
    """
    tasks: dict[str, list[Example]] = {}
    for example in examples:
        tasks.setdefault(example.task or UNNAMED, []).append(example)
    chosen = {task: _in_balance(each, config, seed) for task, each in tasks.items()}
    if not config.by_task:
        return ExamplesSource(
            [example for task in chosen.values() for example in task],
            vocabulary_size=vocabulary_size,
            context_tokens=context_tokens,
            rows=rows,
            seed=seed,
            drop_long=drop_long,
            rank=rank,
            world=world,
        )
    if set(tasks) == {UNNAMED}:
        raise ConfigError(
            "there are no tasks to mix",
            received=f"{len(examples):,} examples, none with a task",
            expected='lines with "task", as `trivium prepare --task` writes them',
            fix="leave weights, size_limit and temperature out",
        )
    return MixedExamplesSource(
        chosen,
        rates=mixing_rates({task: len(each) for task, each in tasks.items()}, config.mixture),
        vocabulary_size=vocabulary_size,
        context_tokens=context_tokens,
        rows=rows,
        seed=seed,
        drop_long=drop_long,
        rank=rank,
        world=world,
    )


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
