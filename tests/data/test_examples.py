"""Examples with masks: what is trained on is exactly what is marked, packed or not, whatever the padding."""

import pytest

from trivium.data.examples import Example, ExamplesSource
from trivium.errors import DataError


def source(examples: list[Example], **options) -> ExamplesSource:
    return ExamplesSource(examples, vocabulary_size=64, **{"context_tokens": 8, "rows": 1, **options})


def test_the_completion_and_its_end_are_trained_on() -> None:
    pairs = [Example.of([1, 5, 6], [7, 8], end_id=2), Example.of([1, 9], [4], end_id=2)]
    batch = next(source(pairs))
    assert batch.tokens.tolist() == [[1, 5, 6, 7, 8, 1, 9, 4]]
    assert batch.targets.tolist() == [[5, 6, 7, 8, 2, 9, 4, 2]]
    assert batch.mask.tolist() == [[False, False, True, True, True, False, True, True]]
    assert batch.segments is not None
    assert batch.segments.tolist() == [[0] * 5 + [1] * 3]
    assert source(pairs).fill == 1.0


def test_any_ids_may_be_marked() -> None:
    """Two answers of one conversation, and an end token (2) that the vocabulary pads with as well."""
    ids = [1, 10, 20, 2, 11, 21, 22, 2]
    trained = [False, False, True, True, False, True, True, True]
    batch = next(source([Example(ids=ids, trained=trained)], context_tokens=12))
    valid = int(batch.lengths[0])
    assert batch.tokens[0, :valid].tolist() == ids[:-1]
    assert batch.targets[0][batch.mask[0]].tolist() == [20, 2, 21, 22, 2]
    assert batch.num_tokens == 5
    assert not batch.mask[0, valid:].any()


def test_every_example_comes_once_an_epoch_at_any_world_size() -> None:
    examples = [Example.of([1, n], [n + 1] * (n % 3 + 1), end_id=2) for n in range(3, 40)]
    whole = source(examples, rows=4, seed=3)
    parts = [source(examples, rows=4, seed=3, rank=rank, world=2) for rank in range(2)]
    for _ in range(6):
        batch, shares = next(whole), [next(part) for part in parts]
        assert batch.targets[batch.mask].tolist() == [t for s in shares for t in s.targets[s.mask].tolist()]


def test_what_cannot_be_trained_on_is_refused_or_counted() -> None:
    short, long = Example.of([1], [3], end_id=2), Example.of([1, 2], [3] * 10, end_id=2)
    with pytest.raises(DataError, match=r"1 of 2 examples are longer than the context\n  received: up to 12"):
        source([short, long])
    assert source([short, long], drop_long=True).dropped == 1
    with pytest.raises(DataError, match="all longer than 8 tokens"):
        source([long], drop_long=True)
    with pytest.raises(DataError, match="empty prompt"):
        source([Example.of([], [3], end_id=2)])
    with pytest.raises(DataError, match="no examples"):
        source([])
    with pytest.raises(DataError, match="outside the vocabulary"):
        source([Example.of([1], [64], end_id=2)])


def test_a_state_is_of_the_same_marks() -> None:
    ids = [1, 5, 6, 2]
    state = source([Example(ids=ids, trained=[False, True, True, True])]).state_dict()
    with pytest.raises(DataError, match="trained"):
        source([Example(ids=ids, trained=[False, False, True, True])]).load_state_dict(state)
