"""Batches: counting, moving and splitting by rows, for every shape of data."""

import pytest
import torch

from trivium.data.batches import (
    CausalBatch,
    LabelledBatch,
    PermutationBatch,
    PreferenceBatch,
    Seq2SeqBatch,
    SpanBatch,
)


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
    pair = PreferenceBatch(chosen=causal(4), rejected=causal(4), weights=torch.ones(4), margins=torch.arange(4.0))
    assert [part.rejected.rows for part in pair.split(2)] == [2, 2]
    assert [part.margins.tolist() for part in pair.split(2)] == [[0, 1], [2, 3]]
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


def test_token_types_ranks_and_spans_are_split_with_their_rows() -> None:
    ones, lengths = torch.ones(3, 2, dtype=torch.long), torch.full((3,), 2)
    typed = LabelledBatch(ones, lengths, torch.tensor([0.5, 1.0, 2.0]), token_types=torch.arange(6).reshape(3, 2))
    assert [part.token_types.tolist() for part in typed.split(2) if part.token_types is not None] == [
        [[0, 1], [2, 3]],
        [[4, 5]],
    ]
    spans = SpanBatch(ones, lengths, starts=torch.arange(3), ends=torch.arange(3) + 1)
    assert spans.num_tokens == 3 and [part.ends.tolist() for part in spans.split(2)] == [[1, 2], [3]]
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    permuted = PermutationBatch(tokens=ones, ranks=ones.cumsum(1) - 1, mask=mask, lengths=lengths)
    assert permuted.num_tokens == 3 and [part.num_tokens for part in permuted.split(3)] == [1, 2, 0]
    assert permuted.to("meta").ranks.device.type == "meta"
