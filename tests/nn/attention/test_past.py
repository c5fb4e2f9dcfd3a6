"""The last tokens of a text look at themselves and at what stands before them, in fp64 to 1e-10."""

import pytest
import torch

from trivium.nn.attention.kernel import PIECE, Scoring
from trivium.nn.attention.past import attend_past


@pytest.mark.parametrize("before", [0, 1, 4, 300])
@pytest.mark.parametrize("length", [1, 7, 25, PIECE + 20])
@pytest.mark.parametrize("window", [None, 5, 400])
@pytest.mark.parametrize("soft_cap", [None, 1.0])
def test_the_last_tokens_of_a_text(before: int, length: int, window: int | None, soft_cap: float | None) -> None:
    """``before`` tokens were read already; of them only those are given that someone sees."""
    generator, span = torch.Generator().manual_seed(0), before + length
    q, k, v = (torch.randn(2, heads, span, 4, generator=generator, dtype=torch.float64) for heads in (4, 2, 2))
    scores = q @ k.repeat_interleave(2, dim=1).mT / 2
    if soft_cap is not None:
        scores = soft_cap * torch.tanh(scores / soft_cap)
    apart = torch.arange(span)[:, None] - torch.arange(span)
    seen = (apart >= 0) & (apart < (window or span))
    weights = torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
    wanted = (weights @ v.repeat_interleave(2, dim=1))[:, :, before:]
    first = 0 if window is None else max(0, before - window + 1)
    how = Scoring(window=window, soft_cap=soft_cap)
    got = attend_past(q[:, :, before:], k[:, :, first:], v[:, :, first:], how, first=first)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


def test_a_bias_goes_by_positions_in_the_text() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 9, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    asked: list[tuple[list[int], list[int]]] = []

    def bias(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        asked.append((queries.flatten().tolist(), keys.tolist()))
        return (queries[..., :, None] * 0.1 * keys)[:, None].double()

    attend_past(q[:, :, 5:], k, v, Scoring(bias=bias, window=6), first=20)
    assert asked == [([25, 26, 27, 28], list(range(20, 29)))]
