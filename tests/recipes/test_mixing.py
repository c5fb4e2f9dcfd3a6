"""Which source the settings of a mixture give: plain, by task, in balance."""

from collections import Counter
from typing import Any

import pytest

from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import MixedExamplesSource
from trivium.errors import ConfigError, DataError
from trivium.recipes.mixing import MixingConfig, mixed_source


def example(n: int, **beside: str) -> Example:
    return Example(ids=[1, 10 + n, 10 + n, 2], trained=[False, False, True, True], **beside)


EXAMPLES = [
    *(example(n, task="large", label="rare" if n < 3 else "usual") for n in range(12)),
    *(example(n, task="small", label="only") for n in range(12, 16)),
]


def source(examples: list[Example] = EXAMPLES, **settings: Any) -> ExamplesSource | MixedExamplesSource:
    return mixed_source(examples, MixingConfig(**settings), vocabulary_size=64, context_tokens=3, rows=1, seed=3)


def one_pass(made: ExamplesSource | MixedExamplesSource) -> Counter[int]:
    return Counter(int(next(made).tokens[0, 1]) - 10 for _ in range(round(made.batches_per_epoch)))


def test_without_settings_every_example_comes_once() -> None:
    made = source()
    assert isinstance(made, ExamplesSource) and one_pass(made) == Counter(range(16))


def test_tasks_are_read_by_weight_or_temperature() -> None:
    for settings in ({"weights": {"large": 1.0, "small": 1.0}}, {"size_limit": 4}, {"temperature": 1e9}):
        made = source(**settings)
        assert isinstance(made, MixedExamplesSource)
        found = one_pass(made)
        assert sum(found[n] for n in range(12)) == pytest.approx(8, abs=1), settings


def test_rare_labels_are_lifted_within_their_task() -> None:
    found = one_pass(source(balance="label", most_passes=10))
    assert [found[n] for n in range(16)] == [3] * 3 + [1] * 9 + [1] * 4
    found = one_pass(source(balance="label", most_passes=2))
    assert [found[n] for n in range(3)] == [2] * 3
    made = source(balance="label", weights={"large": 1.0, "small": 3.0})
    assert isinstance(made, MixedExamplesSource)
    assert sum(count for n, count in one_pass(made).items() if n >= 12) == pytest.approx(0.75 * 22, abs=1.5)


def test_what_cannot_be_mixed_is_refused() -> None:
    with pytest.raises(DataError, match=r"no group to balance by"):
        source(balance="group")
    bare = [example(0)] * 16
    with pytest.raises(ConfigError, match="no tasks to mix"):
        source(bare, temperature=2.0)
    with pytest.raises(DataError, match=r"(?s)no label.*example 0 of other"):
        source(bare, balance="label")
    with pytest.raises(ConfigError, match="not there"):
        source(weights={"large": 1.0, "smal": 1.0})
    with pytest.raises(ConfigError, match="temperature"):
        MixingConfig(temperature=0)
