"""Packed tokens laid out in rows and packed again."""

import torch

from trivium.nn.ragged import Ragged


def test_there_and_back() -> None:
    packed = torch.arange(1.0, 13.0).view(1, 6, 2).requires_grad_()
    ragged = Ragged.of(torch.tensor([[2, 2, 0, 3, 3, 3]]), rows=5)
    assert ragged.lengths.tolist() == [1, 0, 2, 3, 0]
    padded = ragged.pad(packed)
    assert padded.shape == (5, 3, 2)
    assert padded[2, :, 0].tolist() == [1, 3, 0]
    assert padded[3, :, 0].tolist() == [7, 9, 11]
    assert not padded[1].any()
    back = ragged.pack(padded)
    assert torch.equal(back, packed)
    back.sum().backward()
    assert packed.grad.eq(1).all()
