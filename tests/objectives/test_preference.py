"""Bradley-Terry and good-or-bad losses: values by hand, gradients, each answer read once, packed as padded."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from trivium.data.batches import LabelledBatch
from trivium.data.comparison_batches import Compared, ComparisonBatch, Said, comparison_batch
from trivium.models.llama import Llama, LlamaConfig
from trivium.models.lstm import LSTM, LSTMConfig
from trivium.models.scored import with_scores
from trivium.nn.output import Output
from trivium.objectives.preference import bradley_terry, good_or_bad, score_rows


class Looked(nn.Module):
    """Scores a row by its last token: a table of scores, [V, C]."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float64))
        self.config = LSTMConfig(vocabulary_size=len(table))  # of the kind that is read padded
        self.read = 0

    def forward(self, tokens: torch.Tensor, *, lengths: torch.Tensor) -> Output:
        self.read += tokens.shape[0]
        return Output(self.table[tokens])

    def classify(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return hidden[torch.arange(len(lengths)), lengths - 1]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def ranking(*scores: float) -> tuple[Looked, ComparisonBatch]:
    """Answers that are better the earlier they come, with these scores."""
    count = len(scores)
    weight = 2 / (count * (count - 1))
    said = tuple(Said(better=i, worse=j, weight=weight) for i in range(count) for j in range(i + 1, count))
    rows = tuple((0, answer) for answer in range(count))
    return Looked([[score] for score in scores]), comparison_batch([Compared(rows=rows, said=said)], [0])


def test_a_pair() -> None:
    model, batch = ranking(1.0, -0.5)
    loss = bradley_terry(model, batch, centring=0)
    assert loss.total.item() == pytest.approx(-log_sigmoid(1.5))
    assert (loss.count.item(), loss.auxiliary) == (1.0, {})
    assert (loss.metrics["correct"].item(), loss.metrics["margin"].item(), loss.metrics["tokens"].item()) == (1, 1.5, 4)


def test_all_pairs_of_a_ranking_weigh_as_one_and_each_answer_is_read_once() -> None:
    model, batch = ranking(0.5, 2.0, -1.0, 0.0)
    loss = bradley_terry(model, batch)
    scores = [0.5, 2.0, -1.0, 0.0]
    pairs = [(scores[i], scores[j]) for i in range(4) for j in range(i + 1, 4)]
    assert loss.total.item() == pytest.approx(-sum(log_sigmoid(a - b) for a, b in pairs) / 6)
    assert loss.auxiliary["centring"].item() == pytest.approx(0.01 * sum((a + b) ** 2 for a, b in pairs) / 6)
    assert loss.metrics["correct"].item() == pytest.approx(sum(a > b for a, b in pairs) / 6)
    assert loss.count.item() == pytest.approx(1.0)
    assert model.read == 4


def test_a_margin_is_asked_for() -> None:
    model, batch = ranking(1.0, -0.5)
    batch.margins[0, 0, 0, 1] = 2.0
    assert bradley_terry(model, batch, centring=0).total.item() == pytest.approx(-log_sigmoid(-0.5))


def test_each_criterion_has_a_column() -> None:
    model = Looked([[1.0, 5.0], [-1.0, 9.0]])
    said = (Said(better=0, worse=1), Said(better=1, worse=0, criterion=1))
    batch = comparison_batch([Compared(rows=((0,), (1,)), said=said)], [0], criteria=2)
    loss = bradley_terry(model, batch, centring=0)
    assert loss.total.item() == pytest.approx(-log_sigmoid(2.0) - log_sigmoid(4.0))
    assert loss.count.item() == 2


def test_scores_far_apart_give_numbers() -> None:
    """log(1 + exp(x)) would be infinite here."""
    model, batch = ranking(-1e4, 1e4)
    loss = bradley_terry(model, batch, centring=0)
    loss.total.backward()
    assert loss.total.item() == pytest.approx(2e4)
    assert model.table.grad is not None
    assert model.table.grad[:, 0].tolist() == pytest.approx([-1.0, 1.0])


def test_gradients_are_those_of_differences() -> None:
    _, batch = ranking(0.3, -0.2, 0.9)
    batch.margins[0, 0, 0, 2] = 0.7

    def total(table: torch.Tensor) -> torch.Tensor:
        model: Any = Looked([[0.0]] * 3)
        del model.table
        model.table = table
        loss = bradley_terry(model, batch)
        return loss.total + loss.auxiliary["centring"]

    assert torch.autograd.gradcheck(total, torch.randn(3, 1, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("kind", ["llama", "lstm"])
def test_packed_rows_score_as_single_ones(kind: str) -> None:
    """Rows of very different lengths: a decoder reads them without their padding."""
    body: nn.Module = (
        Llama(LlamaConfig(vocabulary_size=19, width=16, layers=2, heads=2, inner_width=24))
        if kind == "llama"
        else LSTM(LSTMConfig(vocabulary_size=19, width=12, layers=1, dropout=0.0))
    )
    model: Any = with_scores(body.double(), ("a", "b"))
    shapes = [[11, 2], [3, 5, 1]]
    compared = [
        Compared(rows=tuple(torch.randint(1, 19, (n,)).tolist() for n in each), said=(Said(better=0, worse=1),))
        for each in shapes
    ]
    batch = comparison_batch(compared, [0, 1], criteria=2)
    seen: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    scores, _ = score_rows(model, batch)
    assert seen == [(1, 22) if kind == "llama" else (5, 11)]
    for place, each in enumerate(compared):
        for answer, row in enumerate(each.rows):
            alone = model.classify(model(torch.tensor([row])).hidden, None)[0]
            torch.testing.assert_close(scores[place, answer], alone, rtol=0, atol=1e-10)
    assert not scores[0, 2].any()


def test_micro_batches_add_up_to_the_whole() -> None:
    model: Any = with_scores(
        Llama(LlamaConfig(vocabulary_size=19, width=16, layers=1, heads=2, inner_width=24)).double()
    )
    compared = [
        Compared(
            rows=tuple(torch.randint(1, 19, (int(n),)).tolist() for n in torch.randint(1, 9, (count,))),
            said=tuple(Said(better=0, worse=other, weight=0.5) for other in range(1, count)),
        )
        for count in (2, 3, 4, 2, 3)
    ]
    batch = comparison_batch(compared, range(5))
    whole, parts = bradley_terry(model, batch), [bradley_terry(model, part) for part in batch.split(3)]
    for get in (lambda loss: loss.total, lambda loss: loss.count, lambda loss: loss.auxiliary["centring"]):
        torch.testing.assert_close(sum(get(part) for part in parts), get(whole), rtol=1e-10, atol=1e-10)


def test_good_and_bad_answers() -> None:
    model = Looked([[1.5], [-0.5], [3.0]])
    batch = LabelledBatch(
        tokens=torch.tensor([[0], [1], [2]]),
        lengths=torch.ones(3, dtype=torch.long),
        labels=torch.tensor([1.0, 1.0, 0.0]),
    )
    loss = good_or_bad(model, batch)
    assert loss.total.item() == pytest.approx(-log_sigmoid(1.5) - log_sigmoid(-0.5) - log_sigmoid(-3.0))
    assert (loss.count.item(), loss.metrics["correct"].item(), loss.metrics["tokens"].item()) == (3, 1, 3)
