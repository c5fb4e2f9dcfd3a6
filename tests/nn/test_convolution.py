"""The strongest answer of each filter is the maximum over time of all answers, with its gradients."""

import pytest
import torch

from trivium.nn.convolution import StrongestWindow, WindowConvolution


@pytest.mark.parametrize(("width", "window"), [(1, 2), (3, 4), (2, 1)])
def test_strongest_windows_are_the_maximum_over_time(width: int, window: int) -> None:
    torch.manual_seed(1)
    lengths = torch.tensor([6, 1, 3, 4])
    every = WindowConvolution(width, 5, window).double()
    strongest = StrongestWindow(width, 5, window).double()
    strongest.load_state_dict(every.state_dict())
    x = torch.randn(4, 6, width, dtype=torch.float64)
    x = x.masked_fill(torch.arange(6)[:, None] >= lengths[:, None, None], 0.0).requires_grad_()
    weighting = torch.randn(4, 5, dtype=torch.float64)
    found, wanted = strongest(x, lengths), every(x, lengths).amax(1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert (found > 0).any() and (found == 0).any()
    ours = torch.autograd.grad((found * weighting).sum(), [x, *strongest.parameters()])
    theirs = torch.autograd.grad((wanted * weighting).sum(), [x, *every.parameters()])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_rows_that_are_all_shorter_than_the_window() -> None:
    layer, x = StrongestWindow(2, 3, 5), torch.randn(2, 3, 2)
    padded = torch.cat([x, torch.zeros(2, 2, 2)], 1)
    weight, bias = layer.convolution.weight, layer.convolution.bias
    wanted = torch.einsum("btd,cdt->bc", padded, weight) + bias
    torch.testing.assert_close(layer(x, torch.tensor([3, 3])), wanted.relu())


@pytest.mark.parametrize("window", [1, 3, 5, 9])
def test_the_maximum_needs_not_all_answers(window: int) -> None:
    """Rows that are whole, ragged, and shorter than the window."""
    torch.manual_seed(2)
    layer, x = WindowConvolution(2, 6, window).double(), torch.randn(5, 6, 2, dtype=torch.float64)
    for lengths in (torch.full((5,), 6), torch.tensor([6, 1, 3, 4, 2])):
        real = x.masked_fill(torch.arange(6)[:, None] >= lengths[:, None, None], 0.0)
        hidden = layer(real, lengths)
        assert hidden.shape == (5, 6, 6) and (hidden > 0).any()
        wanted, given = hidden.amax(1), None if int(lengths.min()) == 6 else lengths
        torch.testing.assert_close(layer.strongest(real.transpose(1, 2), given), wanted, rtol=0, atol=1e-12)


def test_a_window_is_answered_only_inside_its_row() -> None:
    layer, x = WindowConvolution(2, 3, 4).double(), torch.randn(2, 6, 2, dtype=torch.float64)
    x[1, 2:] = 0
    weight, bias = layer.convolution.weight, layer.convolution.bias
    wanted = torch.zeros(2, 6, 3, dtype=torch.float64)
    for row, start in ((0, 0), (0, 1), (0, 2), (1, 0)):
        wanted[row, start] = torch.relu(torch.einsum("td,cdt->c", x[row, start : start + 4], weight) + bias)
    torch.testing.assert_close(layer(x, torch.tensor([6, 2])), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [1, 3, 5, 9])
def test_the_strongest_answer_by_products_of_the_vocabulary(window: int) -> None:
    """More rows than are read at once, ragged, some shorter than the window; nothing beyond their end is read."""
    torch.manual_seed(3)
    layer, vectors = WindowConvolution(4, 6, window).double(), torch.randn(7, 4, dtype=torch.float64)
    ids, lengths = torch.randint(7, (150, 6)), torch.randint(1, 7, (150,))
    real = vectors[ids].masked_fill(torch.arange(6)[:, None] >= lengths[:, None, None], 0.0)
    wanted = layer.strongest(real.transpose(1, 2), lengths)
    assert (wanted > 0).any() and (wanted == 0).any()
    torch.testing.assert_close(layer.strongest_of_ids(ids, vectors, lengths), wanted, rtol=0, atol=1e-12)
