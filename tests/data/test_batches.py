"""Batches: counting, moving and splitting by rows, for every shape of data."""

import pytest
import torch

from trivium.data.batches import CausalBatch, LabelledBatch, PreferenceBatch, Seq2SeqBatch


def causal(rows: int, *, segments: bool = False) -> CausalBatch:
    tokens = torch.arange(rows * 4).reshape(rows, 4)
    mask = torch.ones(rows, 4, dtype=torch.bool)
    mask[0, 0] = False
    return CausalBatch(
        tokens=tokens,
        targets=tokens + 1,
        mask=mask,
        lengths=torch.full((rows,), 4),
        segments=torch.zeros_like(tokens) if segments else None,
    )


@pytest.mark.parametrize(("rows", "n", "sizes"), [(5, 3, [2, 2, 1]), (2, 8, [1, 1]), (4, 1, [4]), (6, 3, [2, 2, 2])])
def test_split_covers_every_row_in_order(rows: int, n: int, sizes: list[int]) -> None:
    batch = causal(rows, segments=True)
    parts = batch.split(n)
    assert [part.rows for part in parts] == sizes
    assert torch.equal(torch.cat([part.tokens for part in parts]), batch.tokens)
    assert sum(part.num_tokens for part in parts) == batch.num_tokens == rows * 4 - 1
    assert all(part.segments is not None and part.continues is None for part in parts)


def test_nested_and_other_batches_split_and_move() -> None:
    pair = PreferenceBatch(chosen=causal(4), rejected=causal(4))
    assert [part.rejected.rows for part in pair.split(2)] == [2, 2]
    assert pair.num_tokens == 30
    assert pair.to("meta").chosen.tokens.device.type == "meta"
    tokens = torch.zeros(3, 2, dtype=torch.long)
    labelled = LabelledBatch(tokens=tokens, lengths=torch.ones(3).long(), labels=torch.arange(3))
    assert labelled.num_tokens == 3
    assert [part.labels.tolist() for part in labelled.split(2)] == [[0, 1], [2]]
    ones = torch.ones(3, 2, dtype=torch.long)
    lengths = torch.full((3,), 2)
    translation = Seq2SeqBatch(ones, lengths, ones, ones, ones.bool(), lengths)
    assert [part.source.shape for part in translation.split(3)] == [(1, 2)] * 3
