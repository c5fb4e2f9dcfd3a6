"""The contrastive loss against its equation, value and gradient; a batch that was cut is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivium.data.batches import ContrastiveBatch, Texts
from trivium.errors import ConfigError
from trivium.nn.output import Output
from trivium.objectives.contrastive import contrastive


class Vectors(nn.Module):
    """A row of a table for each token; what stands beyond a text's end is as large as can be."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(20, 6, dtype=torch.float64))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, *, lengths: Tensor) -> Output:
        valid = torch.arange(tokens.shape[1]) < lengths[:, None]
        return Output(self.dropout(self.table[tokens]).masked_fill(~valid[:, :, None], 1e6))


def texts(*rows: list[int]) -> Texts:
    width = max(map(len, rows))
    return Texts(torch.tensor([row + [0] * (width - len(row)) for row in rows]), torch.tensor([len(r) for r in rows]))


FIRST = [[1, 2], [3], [4, 5, 6], [7, 7]]
SECOND = [[8, 9, 10, 11], [12], [13, 1], [2, 3]]
OTHERS = [[14, 15], [16, 17, 18, 19, 19], [1], [5]]


def batch(negatives: bool = False) -> ContrastiveBatch:
    others = texts(*OTHERS) if negatives else None
    return ContrastiveBatch(first=texts(*FIRST), second=texts(*SECOND), whole=torch.full((4,), 4), negatives=others)


def by_the_equation(table: Tensor, temperature: float, negatives: bool, symmetric: bool) -> Tensor:
    """Row by row, as the papers write it."""

    def unit(rows: list[list[int]]) -> list[Tensor]:
        return [(vector := table[row].mean(0)) / vector.norm() for row in rows]

    def loss(anchors: list[Tensor], partners: list[Tensor], others: list[Tensor]) -> Tensor:
        total = table.new_zeros(())
        for i, anchor in enumerate(anchors):
            likeness = [(anchor @ other / temperature).exp() for other in [*partners, *others]]
            total = total - (likeness[i] / sum(likeness)).log()
        return total

    first, second, others = unit(FIRST), unit(SECOND), unit(OTHERS) if negatives else []
    forwards = loss(first, second, others)
    return (forwards + loss(second, first, [])) / 2 if symmetric else forwards


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("negatives", [False, True])
def test_value_and_gradient_are_those_of_the_equation(negatives: bool, symmetric: bool):
    model = Vectors()
    loss = contrastive(model, batch(negatives), temperature=0.3, symmetric=symmetric)
    wanted = by_the_equation(model.table, 0.3, negatives, symmetric)
    torch.testing.assert_close(loss.total, wanted, rtol=1e-12, atol=0)
    (found,) = torch.autograd.grad(loss.total, model.table)
    (expected,) = torch.autograd.grad(wanted, model.table)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert loss.count == 4 and loss.metrics["tokens"] == 8 + 9 + (9 if negatives else 0)


@pytest.mark.parametrize("pooling", ["first", "max"])
def test_a_text_is_pooled_as_it_is_told(pooling: str):
    model = Vectors()
    loss = contrastive(model, batch(), pooling=pooling, temperature=1.0)

    def pooled(row: list[int]) -> Tensor:
        return model.table[row[0]] if pooling == "first" else model.table[row].amax(0)

    first, second = (torch.stack([F.normalize(pooled(r), dim=0) for r in side]) for side in (FIRST, SECOND))
    wanted = F.cross_entropy(first @ second.T, torch.arange(4), reduction="sum")
    torch.testing.assert_close(loss.total, wanted, rtol=1e-12, atol=0)


def test_one_text_twice_differs_by_dropout_alone():
    twice = ContrastiveBatch(first=texts(*FIRST), second=texts(*FIRST), whole=torch.full((4,), 4))
    still, moved = contrastive(Vectors(0.5).eval(), twice), contrastive(Vectors(0.5).train(), twice)
    assert still.metrics["correct"] == 4
    assert moved.total > still.total  # each side has dropout of its own, so that no two are alike


def test_a_part_of_a_batch_is_refused():
    for part in batch().split(2):
        with pytest.raises(ConfigError, match="2 of 4 rows"):
            contrastive(Vectors(), part)
    assert contrastive(Vectors(), batch().split(1)[0]).count == 4
    with pytest.raises(ConfigError, match="temperature"):
        contrastive(Vectors(), batch(), temperature=0.0)


def test_similarities_keep_their_digits_under_autocast():
    model = Vectors().float()
    plain = contrastive(model, batch()).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = contrastive(model, batch()).total
    torch.testing.assert_close(mixed, plain)
