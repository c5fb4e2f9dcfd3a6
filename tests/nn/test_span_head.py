"""Where an answer begins and ends."""

import pytest
import torch

from trivium.nn.span_head import SpanHead

LENGTHS = torch.tensor([6, 2, 4])


def example() -> tuple[SpanHead, torch.Tensor]:
    torch.manual_seed(0)
    return SpanHead(8).double(), torch.randn(3, 6, 8, dtype=torch.float64, requires_grad=True)


def test_nothing_begins_or_ends_beyond_a_row() -> None:
    head, hidden = example()
    scores = head.scores(hidden, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.isfinite(scores[row, :length]).all()
        assert (scores[row, length:] == float("-inf")).all()
    assert torch.isfinite(head.scores(hidden)).all()


def test_the_loss_of_a_batch_is_that_of_its_rows() -> None:
    head, hidden = example()
    starts, ends = torch.tensor([0, 1, 2]), torch.tensor([5, 1, 3])
    total = head.nll_sum(hidden, LENGTHS, starts, ends)
    wanted = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(LENGTHS.tolist()):
        log_probs = torch.log_softmax(head.output(hidden[row, :length]), dim=0)
        wanted = wanted - (log_probs[starts[row], 0] + log_probs[ends[row], 1]) / 2
    torch.testing.assert_close(total, wanted, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(total, hidden)
    assert torch.isfinite(gradient).all()
    assert not gradient[1, 2:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scores_have_single_precision_at_least(dtype: torch.dtype) -> None:
    head, hidden = example()
    assert head.to(dtype).scores(hidden.to(dtype), LENGTHS).dtype == torch.float32
