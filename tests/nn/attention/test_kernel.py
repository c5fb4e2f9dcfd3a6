"""What PyTorch's kernel does not know is written out, and is the same computation."""

import pytest
import torch
from torch import Tensor

from trivium.nn.attention.kernel import PIECE, Scoring, probabilities, repeat_heads, weigh


def tensors(length: int, span: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    shapes = ((2, 4, length, 3), (2, 2, span, 3), (2, 2, span, 5))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def near_enough(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("length", [1, 3, PIECE + 2])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cap_that_is_never_reached_and_sinks_that_get_nothing_change_nothing(length: int, masked: bool) -> None:
    q, k, v = tensors(length, 7)
    mask = torch.ones(2, 1, length, 7, dtype=torch.bool).tril(2) if masked else None
    added = torch.linspace(0, 1, 7, dtype=torch.float64).expand(4, length, 7)
    for bias in (None, added):
        wanted = weigh(q, k, v, Scoring(), mask=mask, added=bias)
        near_enough(weigh(q, k, v, Scoring(soft_cap=1e7), mask=mask, added=bias), wanted)
        nothing = Scoring(sinks=torch.full((4,), -1e9, dtype=torch.float64))
        near_enough(weigh(q, k, v, nothing, mask=mask, added=bias), wanted)
        near_enough(probabilities(q, k, nothing, mask=mask, added=bias) @ repeat_heads(v, 4), wanted)


def test_a_mask_of_one_row_is_every_query_s() -> None:
    q, k, v = tensors(PIECE + 2, 7)
    one = torch.tensor([True, False, True, True, False, True, False]).view(1, 1, 1, 7)
    for how in (Scoring(), Scoring(soft_cap=0.8)):
        near_enough(weigh(q, k, v, how, mask=one), weigh(q, k, v, how, mask=one.expand(2, 1, PIECE + 2, 7)))


@pytest.mark.parametrize("how", [Scoring(), Scoring(soft_cap=2.0), Scoring(sinks=torch.zeros(4).double())])
def test_a_query_that_sees_nothing_gathers_nothing(how: Scoring) -> None:
    q, k, v = tensors(2, 3)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    got = weigh(q, k, v, how, mask=mask)
    assert got[:, :, 1].eq(0).all()
    assert got[:, :, 0].abs().min() > 0


def test_what_a_sink_takes_is_lost() -> None:
    q, k, _ = tensors(2, 3)
    shares = probabilities(q, k, Scoring(sinks=torch.tensor([-1e9, 0.0, 1.0, 1e9], dtype=torch.float64)), mask=None)
    sums = shares.sum(-1)[0, :, 0]
    near_enough(sums[0], torch.tensor(1.0).double())
    assert sums[3] == 0 < sums[2] < sums[0]


def test_dropout_takes_out_probabilities_and_raises_the_others() -> None:
    q, k, v = tensors(PIECE + 2, 7)
    torch.manual_seed(0)
    dropped = weigh(q, k, torch.eye(7, dtype=torch.float64).expand(2, 2, 7, 7), Scoring(soft_cap=2.0, dropout=0.5))
    shares = probabilities(q, k, Scoring(soft_cap=2.0), mask=None)
    kept = dropped != 0
    assert 0.45 < kept.double().mean() < 0.55
    near_enough(dropped[kept], 2 * shares[kept])
    assert v.shape[3] == 5


def test_what_is_no_number_is_not_hidden() -> None:
    q, k, v = (torch.randn(1, 2, 3, 4) for _ in range(3))
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, True]])
    k[0, 0, 0, 0] = float("nan")
    out = weigh(q, k, v, Scoring(soft_cap=3.0), mask=mask)
    assert out[0, 0, 0].isnan().all() and not out[0, 1].isnan().any()
    assert not out[0, :, 1].any()  # it sees nothing
