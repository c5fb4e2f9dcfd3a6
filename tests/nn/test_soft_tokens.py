"""Soft-argmax: the values by hand, where it is sharp, and its gradient."""

import math

import torch

from trivium.nn.soft_tokens import soft_argmax, soft_vectors


def test_by_hand():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(3.0)]], dtype=torch.float64)
    soft = soft_argmax(logits, 3.0)
    torch.testing.assert_close(soft, torch.tensor([[1.0, 8.0, 27.0]], dtype=torch.float64) / 36)
    vectors = torch.tensor([[1.0, 0.0], [0.0, 9.0], [2.0, -4.0]], dtype=torch.float64)
    torch.testing.assert_close(soft_vectors(soft, vectors), torch.tensor([[55 / 36, -1.0]], dtype=torch.float64))


def test_the_default_is_one_hot_but_where_two_all_but_tie():
    soft = soft_argmax(torch.tensor([[1.0, 1.2, 0.0], [1.0, 1.001, 0.0]]))
    assert torch.equal(soft[0], torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(soft[1, 1], torch.sigmoid(torch.tensor(1.0)), atol=1e-3, rtol=0)


def test_narrow_logits_are_widened_before_they_are_sharpened():
    near = 1 + 2**-7  # the next number in 16 bits; there 100 times it is 101
    soft = soft_argmax(torch.tensor([[1.0, near]], dtype=torch.bfloat16), 100.0)
    torch.testing.assert_close(soft[0, 1], torch.sigmoid(torch.tensor(100 * (near - 1))))


def test_gradient():
    logits = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, e: soft_vectors(soft_argmax(x, 2.0), e), [logits, vectors])
