"""A window is a mask: near keys only, however the text is cut, packed or padded, in fp64 to 1e-10."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention.dot_product import attend, attention_probabilities, dense_mask
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import plain_layout
from trivium.nn.attention.local import attend_near


def qkv(rows: int, length: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(rows, 3, length, 4, generator=generator, dtype=torch.float64) for _ in range(3)]


def defined(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """One query after the other, with the keys of its neighbours alone."""
    mixed = torch.empty_like(q)
    for t in range(q.shape[2]):
        around = slice(max(0, t - window), t + window + 1)
        weights = torch.softmax(q[:, :, t : t + 1] @ k[:, :, around].mT / q.shape[-1] ** 0.5, dim=-1)
        mixed[:, :, t : t + 1] = weights @ v[:, :, around]
    return mixed


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 3, 4, 6, 7, 9, 10, 16, 23])
def test_near_keys_only(window: int, length: int) -> None:
    q, k, v = (x.requires_grad_() for x in qkv(2, length))
    got, wanted = attend_near(q, k, v, window), defined(q, k, v, window)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
    upstream = torch.randn_like(wanted)
    for ours, theirs in zip(
        torch.autograd.grad(got, (q, k, v), upstream), torch.autograd.grad(wanted, (q, k, v), upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [2, 4, 8])  # in blocks, as one matrix, and longer than every document
def test_a_window_is_counted_within_a_document(window: int) -> None:
    segments = torch.tensor([[0] * 9 + [1] * 2 + [-1], [0] * 3 + [1] * 9])
    q, k, v = qkv(2, 12)
    layout = plain_layout(q.transpose(1, 2), causal=False, segments=segments)
    how = Scoring(window=window)
    got, shown = attend(q, k, v, layout, how), attention_probabilities(q, k, layout, how) @ v
    for row, start, end in ((0, 0, 9), (0, 9, 11), (1, 0, 3), (1, 3, 12)):
        one = slice(row, row + 1), slice(None), slice(start, end)
        wanted = defined(q[one], k[one], v[one], window)
        torch.testing.assert_close(got[one], wanted, rtol=0, atol=1e-10)
        torch.testing.assert_close(shown[one], wanted, rtol=0, atol=1e-10)


def test_a_window_of_padded_rows() -> None:
    q, k, v = qkv(2, 12)
    layout = plain_layout(q.transpose(1, 2), causal=False, lengths=torch.tensor([12, 7]))
    got = attend(q, k, v, layout, Scoring(window=3))
    for row, length in ((0, 12), (1, 7)):
        one = slice(row, row + 1), slice(None), slice(0, length)
        torch.testing.assert_close(got[one], defined(q[one], k[one], v[one], 3), rtol=0, atol=1e-10)
    assert dense_mask(layout, 2, 12, 3)[1, 0, 5].nonzero().flatten().tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("window", [1, 2, 3, 8])
@pytest.mark.parametrize("length", [1, 8, 13, 40])  # the last is cut in blocks
def test_a_causal_window_is_oneself_and_what_stands_right_before(window: int, length: int) -> None:
    q, k, v = (x.requires_grad_() for x in qkv(2, length))
    got = attend_near(q, k, v, window, causal=True)
    weights = torch.zeros(2, 3, length, length, dtype=torch.float64)
    for t in range(length):
        seen = slice(max(0, t - window + 1), t + 1)
        weights[:, :, t, seen] = torch.softmax((q[:, :, t : t + 1] @ k[:, :, seen].mT)[:, :, 0] / 2, dim=-1)
    wanted = weights @ v
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
    upstream = torch.randn_like(wanted)
    for ours, theirs in zip(
        torch.autograd.grad(got, (q, k, v), upstream), torch.autograd.grad(wanted, (q, k, v), upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [2, 3, 8])
def test_a_causal_window_of_documents_in_blocks(window: int) -> None:
    """Packed by numbers, and packed by slices: what is not of the document is not seen."""
    segments = torch.tensor([[0] * 17 + [1] * 2 + [2] * 21, [0] * 3 + [1] * 37])
    q, k, v = qkv(2, 40)
    layout = plain_layout(q.transpose(1, 2), causal=True, segments=segments)
    wanted = attention_probabilities(q, k, layout, Scoring(window=window)) @ v
    numbered = attend_near(q, k, v, window, causal=True, documents=segments)
    torch.testing.assert_close(numbered, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(attend(q, k, v, layout, Scoring(window=window)), wanted, rtol=0, atol=1e-10)
