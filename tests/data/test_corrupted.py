"""Windows of a text, corrupted by chance that depends on the seed, the epoch and the window alone."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from trivium.data.batches import MaskedBatch
from trivium.data.corrupted import CorruptedSource
from trivium.data.shards import TokenStore
from trivium.data.windows import Windows
from trivium.errors import ConfigError, DataError

WIDTH = 8


def store(tokens: int = 203) -> TokenStore:
    """Every token is different, so a batch says exactly where it comes from."""
    return TokenStore.of(np.split(np.arange(tokens), [50, 51, 120]), vocabulary_size=tokens)


def hide_one(ids: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(len(ids), dtype=bool)
    mask[rng.integers(len(ids))] = True
    return ids, mask


def collate(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> MaskedBatch:
    tokens, mask = (torch.from_numpy(np.stack(each)) for each in zip(*rows, strict=True))
    return MaskedBatch(tokens=tokens, targets=tokens, mask=mask, lengths=torch.full((len(tokens),), tokens.shape[1]))


def source(**options: Any) -> CorruptedSource[MaskedBatch]:
    settings = {"rows": 4, "window_tokens": WIDTH, "settings": {"rate": 0.15}, **options}
    return CorruptedSource(store(), hide_one, collate, **settings)


def test_resume_gives_the_very_same_corruption() -> None:
    whole = source(seed=3)
    batches = [next(whole) for _ in range(20)]
    for done in (0, 1, 7):
        resumed, before = source(seed=3), source(seed=3)
        for _ in range(done):
            next(before)
        resumed.load_state_dict(json.loads(json.dumps(before.state_dict())))
        for expected in batches[done:]:
            found = next(resumed)
            assert torch.equal(found.tokens, expected.tokens)
            assert torch.equal(found.mask, expected.mask)


def test_processes_share_the_batch_of_one() -> None:
    alone, parts = source(), [source(rank=rank, world=3) for rank in range(3)]
    for _ in range(15):
        batch, shares = next(alone), [next(part) for part in parts]
        assert torch.equal(batch.mask, torch.cat([share.mask for share in shares]))
        assert torch.equal(batch.tokens, torch.cat([share.tokens for share in shares]))


def test_a_window_is_corrupted_anew_in_every_epoch_and_differently_for_every_seed() -> None:
    many = source(rows=24)
    assert many.batches_per_epoch == 1
    masks = [next(many).mask.float().argmax(1) for _ in range(3)]
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(next(source(rows=24, seed=1)).mask, next(source(rows=24, seed=2)).mask)


def test_every_token_is_read_equally_often() -> None:
    """But for a window at the beginning and two at the end: over many epochs all offsets come."""
    windows = Windows(store(), width=WIDTH, step=WIDTH, seed=0)
    counts = np.zeros(203, dtype=int)
    epochs = 40
    for epoch in range(epochs):
        read = windows.read(np.full(windows.count, epoch), np.arange(windows.count))
        assert len(np.unique(read)) == read.size, "windows of an epoch do not overlap"
        counts[read.ravel()] += 1
    assert (counts[WIDTH : -2 * WIDTH] == epochs).all()
    assert counts[: -2 * WIDTH].min() > 0


@pytest.mark.parametrize("tokens", [9, 10, 16, 17, 18, 25])
def test_windows_that_read_on_stay_inside_the_text(tokens: int) -> None:
    windows = Windows(store(tokens + 125), width=9 + 125 - 1, step=WIDTH, seed=0)
    for epoch in range(12):
        read = windows.read(np.full(windows.count, epoch), np.arange(windows.count))
        assert read.max() < tokens + 125
        assert (np.diff(read, axis=1) == 1).all()


def test_other_settings_or_too_little_text_are_refused() -> None:
    with pytest.raises(DataError, match=r"rate 0\.3"):
        source(settings={"rate": 0.3}).load_state_dict(source().state_dict())
    with pytest.raises(DataError, match="less text than one window"):
        source(window_tokens=300)
    with pytest.raises(ConfigError, match="more processes than rows"):
        source(rank=0, world=5)
