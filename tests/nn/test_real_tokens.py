"""Padding is told from tokens by length or by segment, never by id."""

import torch

from trivium.nn.real_tokens import real_tokens


def test_padding_is_what_lies_beyond_a_length_or_in_no_segment() -> None:
    x = torch.zeros(2, 3, 4)
    assert real_tokens(x).all()
    assert real_tokens(x, lengths=torch.tensor([3, 1])).tolist() == [[True] * 3, [True, False, False]]
    assert real_tokens(x, segments=torch.tensor([[0, 0, 1], [2, -1, -1]])).tolist()[1] == [True, False, False]
