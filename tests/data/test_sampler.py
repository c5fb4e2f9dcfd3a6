"""Sources of batches: exact resume everywhere, whole epochs, the same global batches at any world size."""

import json
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from trivium.data.batches import Batch, CausalBatch
from trivium.data.examples import Example, ExamplesSource
from trivium.data.order import random_number, shuffled
from trivium.data.pairs import Seq2SeqSource
from trivium.data.sampler import (
    BatchSource,
    PackedSource,
    StreamSource,
    WindowSource,
)
from trivium.data.shards import TokenStore
from trivium.errors import ConfigError, DataError

ROWS = 4


def store(tokens: int = 997, documents: int = 23) -> TokenStore:
    """Every token is different, so a batch says exactly where it comes from."""
    cuts = np.sort(np.random.default_rng(1).choice(np.arange(1, tokens), documents - 1, replace=False))
    return TokenStore.of(np.split(np.arange(tokens), cuts), vocabulary_size=tokens)


def examples() -> list[tuple[list[int], list[int]]]:
    return [([1, 10 + n], [20 + n] * (1 + n % 5)) for n in range(30)]


SOURCES: dict[str, Callable[..., BatchSource[Any]]] = {
    "packed": lambda **o: PackedSource(store(), context_tokens=16, rows=ROWS, **o),
    "windows": lambda **o: WindowSource(store(), context_tokens=16, rows=ROWS, **o),
    "stream": lambda **o: StreamSource(store(), context_tokens=16, rows=ROWS, **o),
    "examples": lambda **o: ExamplesSource(
        [Example.of(*pair, end_id=2) for pair in examples()], vocabulary_size=64, context_tokens=16, rows=ROWS, **o
    ),
    "pairs": lambda **o: Seq2SeqSource(examples(), start_id=1, eos_id=2, rows=5, **o),
}


def same(first: Batch, second: Batch) -> bool:
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return all(torch.equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("micro_batches", [1, 3])
def test_resume_gives_the_exact_next_batches(name: str, micro_batches: int) -> None:
    """At every batch of three epochs: inside, at the boundary, and in the batch that crosses it."""
    source = SOURCES[name](seed=5)
    count = int(3 * source.batches_per_epoch) + 2
    states, batches = [], []
    for _ in range(count + 3):
        states.append(json.dumps(source.state_dict()))
        batches.append(next(source).split(micro_batches))
    assert source.epochs > 3
    for start in range(count):
        resumed = SOURCES[name](seed=5)
        resumed.load_state_dict(json.loads(states[start]))
        for expected in batches[start : start + 3]:
            assert all(map(same, next(resumed).split(micro_batches), expected))


@pytest.mark.parametrize("name", SOURCES)
def test_the_seed_decides_the_order(name: str) -> None:
    first, again, other = SOURCES[name](seed=1), SOURCES[name](seed=1), SOURCES[name](seed=2)
    whole = int(first.batches_per_epoch)
    batches = [next(first) for _ in range(whole)]
    assert all(same(batch, next(again)) for batch in batches)
    assert not all(same(batch, next(other)) for batch in batches)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("world", [2, 3, 4])
def test_any_world_size_sees_the_same_global_batches(name: str, world: int) -> None:
    whole = SOURCES[name]()
    ranks = [SOURCES[name](rank=rank, world=world) for rank in range(world)]
    for _ in range(12):
        batch, parts = next(whole), [next(rank) for rank in ranks]
        for field in fields(batch):
            if getattr(batch, field.name) is None or any(getattr(part, field.name) is None for part in parts):
                continue
            joined = torch.cat([getattr(part, field.name) for part in parts])
            assert torch.equal(joined, getattr(batch, field.name))
        assert sum(part.num_tokens for part in parts) == batch.num_tokens
    assert all(rank.state_dict() == whole.state_dict() for rank in ranks)


def targets(batch: CausalBatch) -> list[int]:
    return batch.targets[batch.mask].tolist()


def test_a_packed_epoch_trains_on_every_target_once() -> None:
    data = store()
    source = PackedSource(data, context_tokens=16, rows=1)
    assert source.fill > 0.9
    firsts = set(data.boundaries[:-1].tolist())
    orders = []
    for _ in range(2):
        seen = [target for _ in range(int(source.batches_per_epoch)) for target in targets(next(source))]
        assert sorted(seen) == [position for position in range(997) if position not in firsts]
        orders.append(seen)
    assert orders[0] != orders[1], "every epoch has its own order"


def test_batches_that_cross_the_epoch_lose_and_repeat_nothing() -> None:
    source = PackedSource(store(), context_tokens=16, rows=3)
    items = source.state_dict()["items"]
    assert items % 3, "the last batch of the epoch must be partial for this test to mean anything"
    rows = [tuple(row) for _ in range(items) for row in next(source).tokens.tolist()]
    for epoch in range(3):
        assert len(set(rows[epoch * items : (epoch + 1) * items])) == items


def test_windows_cover_the_text_evenly_at_every_offset() -> None:
    source = WindowSource(store(), context_tokens=16, rows=1)
    per_epoch = int(source.batches_per_epoch)
    offsets = set()
    for _ in range(60):
        starts = sorted(int(next(source).tokens[0, 0]) for _ in range(per_epoch))
        assert {b - a for a, b in pairwise(starts)} == {16}
        offsets.add(starts[0])
    assert offsets == set(range(16))


def test_a_stream_reads_on_where_each_row_stopped() -> None:
    data = store(documents=1)
    source = StreamSource(data, context_tokens=16, rows=4)
    strip = 996 // 4
    for _ in range(2):
        last = None
        for step in range(int(source.batches_per_epoch)):
            batch = next(source)
            assert batch.continues is not None
            assert batch.continues.tolist() == [step > 0] * 4
            length = min(16, strip - 16 * step)
            assert batch.lengths.tolist() == [length] * 4
            assert batch.mask.sum() == 4 * length
            if last is not None:
                assert torch.equal(batch.tokens[:, 0], last + 1)
            assert torch.equal(batch.targets[batch.mask], batch.tokens[batch.mask] + 1)
            last = batch.tokens[:, length - 1]


def test_a_stream_puts_documents_in_a_new_order_each_epoch() -> None:
    source = StreamSource(store(), context_tokens=16, rows=1)
    epochs = [[t for _ in range(int(source.batches_per_epoch)) for t in targets(next(source))] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert all(len(set(epoch)) == len(epoch) == 996 for epoch in epochs)


def test_pairs_are_shifted_ended_and_padded() -> None:
    batch = next(Seq2SeqSource([([5, 6, 7], [8])] * 2 + [([5], [8, 9])] * 2, start_id=1, eos_id=2, rows=4))
    assert batch.source.shape == (4, 3)
    for row in range(4):
        wrote = batch.targets[row][batch.mask[row]].tolist()
        read = batch.tokens[row][batch.mask[row]].tolist()
        assert wrote in ([8, 2], [8, 9, 2])
        assert read == [1, *wrote[:-1]]
        assert int(batch.source_lengths[row]) == (3 if len(wrote) == 2 else 1)


def test_a_changed_configuration_is_refused() -> None:
    state = SOURCES["packed"](seed=1).state_dict()
    with pytest.raises(DataError, match=r"received: seed 2\n  expected: seed 1"):
        SOURCES["packed"](seed=2).load_state_dict(state)
    with pytest.raises(DataError, match="cannot be resumed on these batches"):
        SOURCES["windows"](seed=1).load_state_dict(state)
    with pytest.raises(DataError, match="context_tokens 32"):
        PackedSource(store(), context_tokens=32, rows=ROWS, seed=1).load_state_dict(state)
    with pytest.raises(DataError, match="data "):
        PackedSource(store(documents=9), context_tokens=16, rows=ROWS, seed=1).load_state_dict(state)


@pytest.mark.parametrize("source", [PackedSource, WindowSource, StreamSource])
def test_less_text_than_one_window_is_refused(source: Any) -> None:
    with pytest.raises(DataError, match=r"less text than one window\n  received: 10 tokens\n  expected: at least 17"):
        source(store(tokens=10, documents=1), context_tokens=16, rows=1)
    assert next(source(store(tokens=17, documents=1), context_tokens=16, rows=1)).num_tokens == 16


def test_impossible_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match="more processes than rows"):
        PackedSource(store(), context_tokens=16, rows=2, world=3)
    with pytest.raises(ConfigError, match="at least one row"):
        WindowSource(store(), context_tokens=16, rows=0)


def test_impossible_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="no pairs"):
        Seq2SeqSource([], start_id=1, eos_id=2, rows=1)
    with pytest.raises(DataError, match="empty source"):
        Seq2SeqSource([([], [1])], start_id=1, eos_id=2, rows=1)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000, 4097])
def test_the_order_is_a_permutation_of_each_epoch(size: int) -> None:
    places = np.arange(size)
    orders = {tuple(shuffled(places, size, seed=3, epochs=np.full(size, epoch)).tolist()) for epoch in range(4)}
    assert all(sorted(order) == list(range(size)) for order in orders)
    assert len(orders) == 4 or size < 7
    mixed = shuffled(places, size, seed=3, epochs=places % 2)
    whole = [shuffled(places, size, seed=3, epochs=np.full(size, epoch)) for epoch in range(2)]
    assert all(mixed[place] == whole[place % 2][place] for place in range(size))


def test_the_order_is_as_even_as_chance() -> None:
    """Where item 0 lands over many seeds: chi-squared with 9 degrees of freedom, 99.9 % of chance is below 27.9."""
    landed = [int(np.argmin(shuffled(np.arange(100), 100, seed=s, epochs=np.zeros(100, int)))) for s in range(500)]
    counts = np.histogram(landed, bins=10, range=(0, 100))[0]
    assert ((counts - 50) ** 2 / 50).sum() < 27.9
    assert {random_number(seed, 0, 5) for seed in range(50)} == set(range(5))
