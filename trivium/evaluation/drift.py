"""How far one model's predictions are from another's, token by token: what merging or quantising changed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

Predicted = Callable[[Tensor], Tensor]
"""Logits ``[B, T, V]`` of rows of ids ``[B, T]``."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Means over the positions of all rows."""

    divergence: float
    """KL(reference || other) in nats a token."""
    largest: float
    """Largest absolute difference of two logits."""
    agreement: float
    """Part of the positions at which both hold the same token most likely."""
    tokens: int
    """Positions compared."""


@torch.inference_mode()
def drift(reference: Predicted, other: Predicted, rows: Iterable[Int[Tensor, "_ _"]]) -> Drift:
    """Compare the predictions for every position of ``rows``, which are read one after the other."""
    divergence = largest = 0.0
    agreeing = tokens = 0
    for row in rows:
        expected, found = reference(row).float(), other(row).float()
        logs = [F.log_softmax(logits, dim=-1) for logits in (expected, found)]
        divergence += float(F.kl_div(logs[1], logs[0], reduction="sum", log_target=True))
        largest = max(largest, float((expected - found).abs().max()))
        agreeing += int((expected.argmax(-1) == found.argmax(-1)).sum())
        tokens += row.numel()
    assert tokens, "nothing was compared"
    return Drift(divergence=divergence / tokens, largest=largest, agreement=agreeing / tokens, tokens=tokens)
