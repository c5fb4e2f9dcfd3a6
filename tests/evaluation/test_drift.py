"""Drift by hand: two tables of logits."""

import pytest
import torch

from trivium.evaluation.drift import drift


def test_by_hand():
    tables = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[1.0, 0.0], [2.0, 0.0]]])
    rows = [torch.tensor([[0, 1]]), torch.tensor([[0, 0, 0]])]
    found = drift(lambda ids: tables[0][ids], lambda ids: tables[1][ids], rows)
    half, more = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]).softmax(0)
    expected = float((half * (half / more).log()).sum())
    assert found.tokens == 5
    assert found.divergence == pytest.approx(4 * expected / 5)
    assert found.largest == 1
    assert found.agreement == 1  # of two equal logits the first counts
    same = drift(lambda ids: tables[1][ids], lambda ids: tables[1][ids], rows)
    assert (same.divergence, same.largest, same.agreement) == (0, 0, 1)
    turned = drift(lambda ids: tables[0][ids], lambda ids: -tables[1][ids], rows)
    assert turned.agreement == 0
