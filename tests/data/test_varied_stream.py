"""Rows of varying length: the paper's distribution, nothing lost or read twice, exact resume at any world size."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch

from trivium.data.batches import CausalBatch
from trivium.data.shards import TokenStore
from trivium.data.varied_stream import VariedStreamSource, row_length
from trivium.errors import ConfigError, DataError


def store(tokens: int = 4001, documents: int = 1) -> TokenStore:
    """Every token is different, so a batch says exactly where it comes from."""
    return TokenStore.of(np.array_split(np.arange(tokens), documents), vocabulary_size=tokens)


def same(first: CausalBatch, second: CausalBatch) -> bool:
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)]
    return all(torch.equal(a, b) if a is not None and b is not None else a is b for a, b in pairs)


def test_lengths_are_drawn_as_published() -> None:
    lengths = np.array([row_length(3, place, 70) for place in range(4000)])
    short = lengths < 52
    assert 0.04 < short.mean() < 0.06
    assert abs(lengths[~short].mean() - 69.5) < 0.5  # rounded down
    assert abs(lengths[short].mean() - 34.5) < 2
    assert 4.5 < lengths[~short].std() < 5.5
    assert min(row_length(3, place, 6) for place in range(500)) == 5


def test_reads_on_where_each_row_stopped_and_covers_the_text_once() -> None:
    source = VariedStreamSource(store(), context_tokens=30, rows=4)
    for _ in range(2):
        read, last = 0, None
        while read < 1000:
            batch = next(source)
            assert batch.continues is not None
            assert batch.continues.tolist() == [read > 0] * 4
            assert batch.mask.all()
            assert torch.equal(batch.targets, batch.tokens + 1)
            if last is not None:
                assert torch.equal(batch.tokens[:, 0], last + 1)
            last = batch.tokens[:, -1]
            read += batch.tokens.shape[1]
        assert read == 1000
    assert source.epochs == 2


def test_about_as_many_batches_as_it_says() -> None:
    source = VariedStreamSource(store(documents=7), context_tokens=30, rows=2, seed=1)
    count = 0
    while source.epochs < 5:
        next(source)
        count += 1
    assert abs(count / 5 / source.batches_per_epoch - 1) < 0.1


def test_resume_gives_the_exact_next_batches_at_any_world_size() -> None:
    def make(rank: int = 0, world: int = 1) -> VariedStreamSource:
        return VariedStreamSource(store(701, documents=5), context_tokens=12, rows=4, seed=5, rank=rank, world=world)

    source, states, batches = make(), [], []
    for _ in range(50):
        states.append(json.dumps(source.state_dict()))
        batches.append(next(source))
    assert source.epochs > 3
    for start in range(47):
        ranks = [make(rank, 2) for rank in range(2)]
        for rank in ranks:
            rank.load_state_dict(json.loads(states[start]))
        for expected in batches[start : start + 3]:
            assert all(same(next(rank), part) for rank, part in zip(ranks, expected.split(2), strict=True))
    other = VariedStreamSource(store(701, documents=5), context_tokens=12, rows=4, seed=6)
    assert not same(next(other), batches[0])


def test_what_is_refused() -> None:
    state = VariedStreamSource(store(), context_tokens=12, rows=4, seed=5).state_dict()
    with pytest.raises(DataError, match="context_tokens 13"):
        VariedStreamSource(store(), context_tokens=13, rows=4, seed=5).load_state_dict(state)
    with pytest.raises(DataError, match="less text than one window"):
        VariedStreamSource(store(20), context_tokens=12, rows=4)
    with pytest.raises(ConfigError, match="more processes than rows"):
        VariedStreamSource(store(), context_tokens=12, rows=1, world=2)
