"""Attention to a source that several rows share."""

import torch

from trivium.nn.attention.dot_product import cross_attend, cross_attention_probabilities

ROWS, SOURCES, HEADS, LENGTH, WIDTH = 6, 2, 3, 5, 4


def test_rows_that_share_a_source_see_what_rows_of_their_own_would() -> None:
    torch.manual_seed(0)
    keys, values = (torch.randn(SOURCES, HEADS, LENGTH, WIDTH, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([5, 3])
    apart = [each.repeat_interleave(ROWS // SOURCES, dim=0) for each in (keys, values, lengths)]
    for tokens in (1, 2):
        q = torch.randn(ROWS, HEADS, tokens, WIDTH, dtype=torch.float64)
        shared = cross_attend(q, keys, values, lengths, scale=0.7)
        torch.testing.assert_close(shared, cross_attend(q, *apart, scale=0.7))
        weights = cross_attention_probabilities(q, keys, lengths, scale=0.7)
        torch.testing.assert_close(weights, cross_attention_probabilities(q, apart[0], apart[2], scale=0.7))
        torch.testing.assert_close(weights @ apart[1], shared)
