"""Rows without their padding, and back."""

import torch

from trivium.nn.unpad import unpadded

LENGTHS = torch.tensor([3, 0, 5, 1])


def test_there_and_back() -> None:
    x = torch.randn(4, 5, 2)
    rows = unpadded(x, lengths=LENGTHS, segments=None)
    packed = rows.pack(x)
    assert packed.shape == (1, 9, 2)
    assert rows.layout.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3, 4, 0]]
    back = rows.unpack(packed)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(back[row, :length], x[row, :length])
        assert not back[row, length:].any()


def test_ids_and_what_is_not_given() -> None:
    tokens = torch.arange(20).view(4, 5)
    rows = unpadded(tokens, lengths=LENGTHS, segments=None)
    assert rows.pack(tokens).tolist() == [[0, 1, 2, 10, 11, 12, 13, 14, 15]]
    assert rows.pack(torch.tensor([[7]])).tolist() == [[7] * 9]  # one for all
    assert rows.pack(None) is None


def test_nothing_is_packed_where_there_is_nothing_to_win() -> None:
    tokens = torch.arange(20).view(4, 5)
    segments = torch.tensor([[0, 0, 1, 1, 1]]).expand(4, 5)
    for given in (
        {"lengths": None, "segments": None},
        {"lengths": torch.full((4,), 5), "segments": None},
        {"lengths": LENGTHS, "segments": segments},
        {"lengths": LENGTHS, "segments": None, "collect": ("attention",)},
    ):
        rows = unpadded(tokens, **given)
        assert rows.pack(tokens) is tokens
        vectors = torch.randn(4, 5, 2)
        assert rows.unpack(vectors) is vectors


def test_rows_of_nothing_are_not_packed_into_none() -> None:
    tokens = torch.arange(20).view(4, 5)
    rows = unpadded(tokens, lengths=torch.zeros(4, dtype=torch.long), segments=None)
    assert rows.pack(tokens) is tokens
    assert not rows.layout.mask.any()


def test_gradients_come_back_to_valid_places_alone() -> None:
    x = torch.randn(4, 5, 2, requires_grad=True)
    rows = unpadded(x, lengths=LENGTHS, segments=None)
    rows.unpack(rows.pack(x)).sum().backward()
    valid = torch.arange(5) < LENGTHS[:, None]
    assert torch.equal(x.grad, valid[:, :, None].expand(4, 5, 2).float())
