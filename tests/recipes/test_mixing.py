"""Which source the settings of a mixture give: plain, by task, in balance."""

from collections import Counter
from typing import Any

import pytest

from trivium.data.examples import Example, ExamplesSource
from trivium.data.task_mixture import Batching, MixedExamplesSource
from trivium.errors import ConfigError, DataError
from trivium.recipes.mixing import OLD, MixingConfig, batches_in_pass, mixed_source


def example(n: int, **beside: str) -> Example:
    return Example(ids=[1, 10 + n, 10 + n, 2], trained=[False, False, True, True], **beside)


EXAMPLES = [
    *(example(n, task="large", label="rare" if n < 3 else "usual") for n in range(12)),
    *(example(n, task="small", label="only") for n in range(12, 16)),
]


BATCHING = Batching(vocabulary_size=64, context_tokens=3, rows=1, seed=3)
OLD_ONES = [Example(ids=[50, 50, 50, 50], trained=[False, True, True, True]) for _ in range(6)]


def source(examples: list[Example] = EXAMPLES, **settings: Any) -> ExamplesSource | MixedExamplesSource:
    return mixed_source(examples, MixingConfig(**settings), BATCHING)


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


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_what_is_rehearsed_has_its_share_of_the_tokens_and_leaves_the_rest_mixed(share: float) -> None:
    """The tasks are then mixed by their examples, though one has longer ones: as without rehearsal."""
    long = [Example(ids=[1, 10 + n] + [9] * 5, trained=[False] + [True] * 6, task="large") for n in range(12)]
    mixing, batching = MixingConfig(temperature=1e9), Batching(vocabulary_size=64, context_tokens=6, rows=4)
    made = mixed_source([*long, *EXAMPLES[12:]], mixing, batching, old=OLD_ONES, old_share=share)
    tokens, read = Counter[str](), Counter[str]()
    for batch in (next(made) for _ in range(60)):
        for row, length in zip(batch.tokens.tolist(), batch.lengths.tolist(), strict=True):
            task = OLD if row[0] == 50 else "large" if 9 in row else "small"
            tokens[task] += length
            read[task] += row[:length].count(1)
    assert tokens[OLD] / tokens.total() == pytest.approx(share, abs=0.02)
    assert read["large"] / read["small"] == pytest.approx(1, abs=0.1)
    passes = made.passes_after(60)
    assert passes["small"] == pytest.approx(3 * passes["large"], rel=0.1) and passes[OLD] == pytest.approx(
        tokens[OLD] / 18, rel=0.03
    )


def test_a_pass_is_over_what_is_trained_on_alone() -> None:
    assert batches_in_pass(source()) == batches_in_pass(source(temperature=2.0)) == 16
    made = mixed_source(EXAMPLES, MixingConfig(), BATCHING, old=OLD_ONES, old_share=0.2)
    assert batches_in_pass(made) == pytest.approx(16 / 0.8)


def test_processes_share_the_batches_and_a_state_goes_on() -> None:
    """At another number of processes too."""

    def made(**place: int) -> ExamplesSource | MixedExamplesSource:
        batching = Batching(vocabulary_size=64, context_tokens=3, rows=4, seed=3, **place)
        mixing = MixingConfig(weights={"large": 1.0, "small": 2.0}, balance="label")
        return mixed_source(EXAMPLES, mixing, batching, old=OLD_ONES, old_share=0.3)

    whole = made()
    for _ in range(3):
        next(whole)
    parts = [made(rank=rank, world=2) for rank in range(2)]
    for part in parts:
        part.load_state_dict(whole.state_dict())
    for _ in range(4):
        shares = [next(part) for part in parts]
        assert next(whole).tokens.tolist() == [row for share in shares for row in share.tokens.tolist()]


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
    called_so = [example(0, task=OLD)] * 16
    with pytest.raises(ConfigError, match="name of what is rehearsed"):
        mixed_source(called_so, MixingConfig(temperature=2.0), BATCHING, old=OLD_ONES, old_share=0.1)
    with pytest.raises(ConfigError, match="temperature"):
        MixingConfig(temperature=0)
