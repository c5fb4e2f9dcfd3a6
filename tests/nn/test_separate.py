"""Packed rows taken apart and put together again."""

import torch

from trivium.nn.separate import Separate


def test_documents() -> None:
    """A run for each document of each row: rows that begin with the number the last one ended with are others'."""
    segments = torch.tensor([[0, 0, 1, -1], [1, 1, 1, 0]])
    separate = Separate.of(segments, None)
    tokens = torch.tensor([[10, 11, 12, 0], [20, 21, 22, 23]])
    rows = [row[:n].tolist() for row, n in zip(separate.pad(tokens), separate.lengths.tolist(), strict=True)]
    assert rows == [[10, 11], [12], [], [20, 21, 22], [23]]
    assert torch.equal(separate.pack(separate.pad(tokens)), tokens)


def test_rows_of_a_state() -> None:
    segments = torch.tensor([[2, 2, 2, 0, -1]])
    separate = Separate.of(segments, 4)
    x = torch.arange(10.0).view(1, 5, 2)
    assert separate.lengths.tolist() == [1, 0, 3, 0]
    assert torch.equal(separate.pad(x)[2], x[0, :3])
    assert torch.equal(separate.pad(x)[0, 0], x[0, 3])
    assert torch.equal(separate.pack(separate.pad(x))[0, :4], x[0, :4])
    assert not separate.pack(separate.pad(x))[0, 4].any()
