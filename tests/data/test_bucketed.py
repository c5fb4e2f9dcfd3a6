"""Batches of about one length: nothing lost, little padding, a new deal each epoch, resumable anywhere."""

import itertools

import numpy as np
import pytest
import torch

from trivium.data.batches import LabelledBatch
from trivium.data.bucketed import BucketedSource
from trivium.errors import ConfigError, DataError


def lengths(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 60, count)


def source(count: int = 1003, *, rows: int = 8, seed: int = 0, rank: int = 0, world: int = 1):
    """The token of an example is its index, so a batch says what is in it."""
    sizes = lengths(count)

    def collate(indices: np.ndarray) -> LabelledBatch:
        width = int(sizes[indices].max())
        tokens = torch.from_numpy(np.repeat(indices[:, None], width, axis=1))
        return LabelledBatch(tokens, torch.from_numpy(sizes[indices]), torch.from_numpy(indices))

    return BucketedSource(sizes, collate, fingerprint="x", rows=rows, seed=seed, rank=rank, world=world)


def epoch(batches: BucketedSource) -> list[list[int]]:
    return [next(batches).labels.tolist() for _ in range(round(batches.batches_per_epoch))]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 399, 401, 1003])
def test_an_epoch_holds_every_example_once_in_batches_of_nearly_one_size(count: int) -> None:
    batches = epoch(source(count))
    assert sorted(index for batch in batches for index in batch) == list(range(count))
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= 8 and max(sizes) - min(sizes) <= 1


def test_batches_differ_from_epoch_to_epoch_and_from_seed_to_seed() -> None:
    batches = source()
    first, second = epoch(batches), epoch(batches)
    assert first != second
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    assert first != epoch(source(seed=1))
    assert first == epoch(source())


def test_there_is_little_padding_and_lengths_come_in_no_order() -> None:
    batches, filled, held, widths = source(4000, rows=16), 0, 0, []
    for _ in range(round(batches.batches_per_epoch)):
        batch = next(batches)
        filled += int(batch.lengths.sum())
        held += batch.tokens.numel()
        widths.append(batch.tokens.shape[1])
    assert filled / held > 0.9  # at random it is a half
    rising = sum(a < b for a, b in itertools.pairwise(widths))
    assert 0.35 < rising / len(widths) < 0.65


def test_processes_share_every_batch_and_none_goes_without() -> None:
    alone = source(11, rows=4)
    ranks = [source(11, rows=4, rank=rank, world=3) for rank in range(3)]
    for _ in range(7):
        whole, parts = next(alone), [next(rank) for rank in ranks]
        assert all(part.rows >= 1 for part in parts)
        assert torch.equal(torch.cat([part.tokens for part in parts]), whole.tokens)


def test_a_source_goes_on_where_it_stood() -> None:
    straight, stopped = source(50), source(50)
    for number in range(20):
        state = stopped.state_dict()
        stopped = source(50)
        stopped.load_state_dict(state)
        assert torch.equal(next(straight).labels, next(stopped).labels), number


def test_what_cannot_be_a_batch_is_refused() -> None:
    with pytest.raises(DataError, match="no examples"):
        source(0)
    with pytest.raises(DataError, match=r"without a row\n  received: 9 examples, .*: 3 rows for 4 processes"):
        source(9, rows=4, world=4)
    with pytest.raises(ConfigError, match="more processes than rows"):
        source(50, rows=1, world=2)
    with pytest.raises(DataError, match="cannot be resumed"):
        source(seed=1).load_state_dict(source().state_dict())
