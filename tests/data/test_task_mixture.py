"""Mixtures of tasks: T5's shares, held in every stretch of training, resumed and shared out bit for bit."""

import json
from collections import Counter

import pytest

from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import Batching, MixedExamplesSource, RateOf, TaskMixture, mixing_rates
from trivium.errors import ConfigError, DataError

LONG, SHORT = 10, 40
"""Ids from these on tell which task a token is of."""


def examples(first: int, number: int, length: int) -> list[Example]:
    return [Example.of([1, first + n % 25], [first + n % 25] * length, end_id=2) for n in range(number)]


TASKS = {"long": examples(LONG, 30, 5), "short": examples(SHORT, 90, 1)}


def source(
    tasks: dict[str, list[Example]] = TASKS,
    rates: dict[str, float] | None = None,
    *,
    rate_of: RateOf = "examples",
    **options: int,
) -> MixedExamplesSource:
    batching = Batching(**{"vocabulary_size": 96, "context_tokens": 12, "rows": 4, **options})
    return MixedExamplesSource(tasks, rates or dict.fromkeys(tasks, 1.0), batching, rate_of=rate_of)


def test_shares_as_t5_has_them() -> None:
    sizes = {"a": 900, "b": 90, "c": 10}
    assert mixing_rates(sizes, TaskMixture()) == pytest.approx({"a": 0.9, "b": 0.09, "c": 0.01})
    limited = mixing_rates(sizes, TaskMixture(size_limit=100))
    assert limited == pytest.approx({"a": 0.5, "b": 0.45, "c": 0.05})
    hot = mixing_rates(sizes, TaskMixture(temperature=2.0))
    assert hot["a"] / hot["c"] == pytest.approx(90**0.5) and sum(hot.values()) == pytest.approx(1)
    assert mixing_rates(sizes, TaskMixture(temperature=1e9)) == pytest.approx(dict.fromkeys("abc", 1 / 3), abs=1e-6)
    assert mixing_rates({"a": 5, "b": 9}, TaskMixture(weights={"b": 3, "a": 1})) == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"weights": {"a": 1.0, "x": 1.0}}, "not there"),
        ({"weights": {"a": 1.0}}, "no weight"),
        ({"weights": {"a": 1.0, "b": 0.0}}, "above 0"),
        ({"weights": {"a": 1.0, "b": 1.0}, "size_limit": 3}, "says nothing"),
        ({"temperature": 0.5}, "temperature"),
        ({"size_limit": 0}, "limit"),
    ],
)
def test_mixtures_that_cannot_be(mixture: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixing_rates({"a": 1, "b": 2}, TaskMixture(**mixture))


def read(mixed: MixedExamplesSource, batches: int) -> Counter[str]:
    """Examples of each task in the next batches."""
    found = Counter()
    for _ in range(batches):
        batch = next(mixed)
        for row in range(len(batch.tokens)):
            ids = batch.tokens[row, : int(batch.lengths[row])].tolist()
            tasks = {"long" if LONG <= i < LONG + 25 else "short" for i in ids if i >= LONG}
            assert len(tasks) == 1, "a row is of one task"
            found[tasks.pop()] += ids.count(1)
    return found


def test_the_share_is_that_of_the_examples_or_of_the_tokens() -> None:
    found = read(source(rates={"long": 3.0, "short": 1.0}), 300)
    assert found["long"] / found["short"] == pytest.approx(3, rel=0.03)
    mixed = source(rate_of="tokens")
    found = read(mixed, 300)
    assert found["long"] * 7 / (found["short"] * 3) == pytest.approx(1, rel=0.03)  # tokens that are read
    assert mixed.passes == pytest.approx(mixed.passes_after(300))
    assert mixed.passes["long"] == pytest.approx(found["long"] / 30, rel=0.01)


def test_every_stretch_holds_the_shares() -> None:
    """No long run of one task: each batch of four rows has two of either, give or take one."""
    mixed = source({"a": examples(LONG, 8, 10), "b": examples(SHORT, 8, 10)})
    for _ in range(50):
        batch = next(mixed)
        of_a = sum(int(tokens[1]) < SHORT for tokens in batch.tokens)
        assert 1 <= of_a <= 3


def test_every_example_of_a_task_comes_once_a_pass() -> None:
    mixed = source({"a": examples(LONG, 8, 10), "b": examples(SHORT, 24, 10)}, rows=1)
    seen = Counter()
    while mixed.passes["a"] < 2:
        seen[int(next(mixed).tokens[0, 1])] += 1
    assert {seen[LONG + n] for n in range(8)} == {2}
    assert mixed.batches_for("a") == pytest.approx(16)
    assert mixed.batches_for("a", "b") == pytest.approx(32)
    assert mixed.passes["b"] == pytest.approx(2 / 3, abs=0.1)
    assert mixed.batches_per_epoch == 32


def test_a_state_goes_on_where_it_was_taken_at_any_world_size() -> None:
    whole = source(seed=5)
    for _ in range(7):
        next(whole)
    state = json.loads(json.dumps(whole.state_dict()))
    parts = [source(seed=5, rank=rank, world=2) for rank in range(2)]
    for part in parts:
        part.load_state_dict(state)
        assert part.passes == whole.passes
    for _ in range(5):
        expected, shares = next(whole), [next(part) for part in parts]
        assert expected.tokens.tolist() == [row for share in shares for row in share.tokens.tolist()]
        assert expected.mask.tolist() == [row for share in shares for row in share.mask.tolist()]
    for other in (source(seed=6), source(seed=5, rates={"long": 1.0, "short": 2.0}), source(seed=5, rows=2)):
        with pytest.raises(DataError, match="cannot be resumed"):
            other.load_state_dict(state)


def test_one_task_is_packed_as_by_itself() -> None:
    alone = ExamplesSource(TASKS["long"], vocabulary_size=96, context_tokens=12, rows=3)
    mixed = source({"long": TASKS["long"]}, rows=3)
    assert mixed.fill == alone.fill and mixed.batches_per_epoch == alone.batches_per_epoch
    count = round(alone.batches_per_epoch)
    seen = [sorted(map(str, row)) for each in (alone, mixed) for row in [_rows(each, count)]]
    assert seen[0] == seen[1]


def _rows(each: ExamplesSource | MixedExamplesSource, batches: int) -> list[list[int]]:
    return [row for _ in range(batches) for row in next(each).tokens.tolist()]


def test_what_does_not_fit_is_told_with_its_task() -> None:
    tasks = {"long": [*TASKS["long"], *examples(LONG, 1, 30)], "short": TASKS["short"]}
    with pytest.raises(DataError, match=r"(?s)longer than the context.*task long"):
        source(tasks)
    with pytest.raises(DataError, match=r"(?s)no examples.*task none"):
        source({"long": TASKS["long"], "none": []})
    with pytest.raises(ConfigError, match="no weight"):
        source(rates={"long": 1.0})
