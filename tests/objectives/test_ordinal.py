"""The cumulative logit model: probabilities that add up, values by hand, gradients, grades learnt in their order."""

import itertools
import math

import pytest
import torch

from trivium.data.batches import LabelledBatch
from trivium.nn.output import Output
from trivium.objectives.ordinal import CutPoints, ordinal

SHARES = [0.1, 0.2, 0.4, 0.3]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cuts(*shares: list[float]) -> CutPoints:
    return CutPoints(shares or [SHARES]).double()


def test_a_score_of_zero_begins_with_the_shares_of_the_data() -> None:
    nll = cuts().nll(torch.zeros(4, dtype=torch.float64), torch.arange(4))
    assert (-nll).exp().tolist() == pytest.approx(SHARES, abs=1e-6)


def test_probabilities_are_differences_of_sigmoids() -> None:
    made = cuts()
    theta = made.theta(0).tolist()
    assert theta == sorted(theta)
    for score in (-2.5, 0.3, 4.0):
        edges = [0.0, *(sigmoid(cut - score) for cut in theta), 1.0]
        expected = [high - low for low, high in itertools.pairwise(edges)]
        found = (-made.nll(torch.full((4,), score, dtype=torch.float64), torch.arange(4))).exp().tolist()
        assert found == pytest.approx(expected, rel=1e-9)
        assert sum(found) == pytest.approx(1.0)


def test_two_grades_are_a_logistic_regression() -> None:
    made = cuts([0.5, 0.5])
    nll = made.nll(torch.tensor([1.2, 1.2], dtype=torch.float64), torch.tensor([0, 1]))
    assert nll.tolist() == pytest.approx([-math.log(sigmoid(-1.2)), -math.log(sigmoid(1.2))])


def test_far_scores_give_finite_losses_and_gradients() -> None:
    """The difference of two sigmoids would be 0 there, in float32 from 17 on."""
    made = CutPoints([SHARES])
    scores = torch.tensor([-200.0, 200.0, 60.0], requires_grad=True)
    nll = made.nll(scores, torch.tensor([2, 1, 0]))
    nll.sum().backward()
    assert scores.grad is not None
    assert nll.isfinite().all()
    assert nll[:2].min() > 190
    assert scores.grad.tolist() == pytest.approx([-1.0, 1.0, 1.0], abs=1e-5)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in made.parameters())


def test_gradients() -> None:
    made = cuts()
    grades = torch.tensor([0, 1, 2, 3, 2])
    scores = torch.randn(5, dtype=torch.float64, requires_grad=True)

    def total(scores: torch.Tensor, first: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        given = {"first.0": first, "steps.0": steps}
        return torch.func.functional_call(
            Called(made), {f"cuts.{name}": p for name, p in given.items()}, (scores, grades)
        )

    parameters = [made.first[0].detach().requires_grad_(), made.steps[0].detach().requires_grad_()]
    assert torch.autograd.gradcheck(total, (scores, *parameters))


class Called(torch.nn.Module):
    def __init__(self, cuts: CutPoints) -> None:
        super().__init__()
        self.cuts = cuts

    def forward(self, scores: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        return self.cuts.nll(scores, grades).sum()


def test_each_criterion_has_its_own_grades() -> None:
    made = cuts(SHARES, [0.5, 0.5])
    assert (len(made.theta(0)), len(made.theta(1))) == (3, 1)


def test_unequal_steps_between_grades_are_learnt() -> None:
    """Grades that were made by the cuts -3, -2.5 and 3 of a known score: these cuts are found."""
    chance = torch.Generator().manual_seed(0)
    scores = 4 * torch.randn(20_000, generator=chance, dtype=torch.float64)
    noise = torch.logit(torch.rand(20_000, generator=chance, dtype=torch.float64))
    wanted = torch.tensor([-3.0, -2.5, 3.0], dtype=torch.float64)
    grades = (scores + noise)[:, None].gt(wanted).sum(1)
    made = cuts([0.25] * 4)
    optimiser = torch.optim.LBFGS(made.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = made.nll(scores, grades).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    assert made.theta(0).tolist() == pytest.approx(wanted.tolist(), abs=0.12)


class Read(torch.nn.Module):
    """The score of a text is its first token, by two criteria."""

    def __init__(self) -> None:
        super().__init__()
        self.cut_points = cuts([0.25] * 4, [0.5, 0.5])

    def forward(self, tokens: torch.Tensor, *, lengths: torch.Tensor) -> Output:
        return Output(tokens.double()[..., None].expand(*tokens.shape, 2))

    def classify(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return hidden[:, 0]


def test_the_objective_is_the_mean_over_criteria_summed_over_texts() -> None:
    model = Read()
    grades = torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    batch = LabelledBatch(tokens=torch.tensor([[1, 9], [2, 0]]), lengths=torch.tensor([2, 1]), labels=grades)
    loss = ordinal(model, batch)
    scores = torch.tensor([1.0, 2.0], dtype=torch.float64)
    each = [model.cut_points.nll(scores, grades[:, number].long(), number) for number in range(2)]
    assert loss.total.item() == pytest.approx((each[0] + each[1]).sum().item() / 2)
    assert (loss.count.item(), loss.metrics["tokens"].item()) == (2, 3)
