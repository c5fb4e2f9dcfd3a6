"""Poisson sampling: how many, how often, always the same again; and rows that are single examples."""

import numpy as np
import pytest

from trivium.data.examples import Example
from trivium.data.poisson import PoissonExamples
from trivium.errors import ConfigError, DataError


def examples(count: int) -> list[Example]:
    return [Example.of([1, 2], [3 + n] * (n % 5 + 1), end_id=0) for n in range(count)]


def source(count: int = 40, rows: int = 8, seed: int | None = 5) -> PoissonExamples:
    return PoissonExamples(examples(count), vocabulary_size=count + 3, context_tokens=12, rows=rows, seed=seed)


def taken(batch) -> list[int]:
    """The numbers of the examples of a batch."""
    return [int(row[2]) - 3 for row in batch.tokens]


def test_each_example_is_taken_with_the_same_probability_alone() -> None:
    made = source()
    draws = np.zeros((2000, 40))
    for number in range(2000):
        draws[number, taken(next(made))] = 1
    assert abs(draws.mean() - 0.2) < 0.005
    assert np.abs(draws.mean(axis=0) - 0.2).max() < 0.04  # 4 standard deviations
    correlations = np.corrcoef(draws.T) - np.eye(40)
    assert np.abs(correlations).max() < 0.12
    sizes = draws.sum(axis=1)
    assert sizes.min() < 4 and sizes.max() > 13 and abs(sizes.var() - 40 * 0.2 * 0.8) < 0.8


def test_a_row_is_an_example_whole_and_alone() -> None:
    made = source(rows=40)
    batch = next(made)
    assert batch.rows == 40 and batch.segments is None
    for number, row in enumerate(batch.split(40)):
        example = examples(40)[number]
        length = int(row.lengths[0])
        assert length == len(example.ids) - 1
        assert row.tokens[0, :length].tolist() == list(example.ids[:-1])
        assert row.targets[0, :length].tolist() == list(example.ids[1:])
        assert row.mask[0, :length].tolist() == list(example.trained[1:])
        assert not row.mask[0, length:].any()


def test_a_batch_may_be_empty() -> None:
    made = source(count=40, rows=1, seed=0)
    sizes = [batch.rows for batch in (next(made) for _ in range(60))]
    assert 0 in sizes and sum(sizes) > 20
    made = source(count=40, rows=1, seed=0)
    empty = next(batch for batch in made if not batch.rows)
    assert empty.num_tokens == 0 and empty.tokens.shape == (0, 1)


def test_it_goes_on_with_its_seed_which_nobody_knows() -> None:
    first = source(seed=None)
    for _ in range(3):
        next(first)
    state = first.state_dict()
    other = source(seed=None)
    assert other.state_dict()["seed"] != state["seed"]
    other.load_state_dict(state)
    for _ in range(5):
        assert taken(next(first)) == taken(next(other))
    with pytest.raises(DataError, match="cannot be resumed"):
        source(count=39).load_state_dict(state)


def test_more_rows_than_examples_are_refused_and_long_ones_counted() -> None:
    with pytest.raises(ConfigError, match="more examples than there are"):
        source(count=4, rows=5)
    made = PoissonExamples(examples(10), vocabulary_size=13, context_tokens=6, rows=2, seed=0, drop_long=True)
    assert made.dropped == 2 and made.examples == 8 and made.batches_per_epoch == 4.0
