"""Elastic weight consolidation: the Fisher against the definition, the penalty against hand-written numbers."""

import copy

import pytest
import torch
from torch import nn

from tests.training.toys import batch, tiny_gpt2
from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError, DataError
from trivium.nn.output import Output
from trivium.objectives.causal import causal
from trivium.objectives.elastic_weights import Consolidated, consolidated, drawn, elastic


class Unigram(nn.Module):
    """The same three logits at every position: p(v) = softmax(w)_v, whose Fisher is known."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(probabilities, dtype=torch.float64).log())
        self.head = Logits()

    def forward(self, tokens, *, lengths=None, segments=None, state=None):
        return Output(self.w.expand(*tokens.shape, 3), None)


class Logits(nn.Module):
    """A head whose hidden states are the logits."""

    def logits(self, hidden):
        return hidden

    def nll_sum(self, hidden, targets):
        return -hidden.log_softmax(-1).gather(-1, targets[:, None]).sum()


def zeros(rows: int, length: int) -> CausalBatch:
    tokens = torch.zeros(rows, length, dtype=torch.long)
    return CausalBatch(tokens, tokens, torch.ones(rows, length, dtype=torch.bool), torch.full((rows,), length))


def test_fisher_is_that_of_the_model_and_not_of_the_data() -> None:
    """F_v = p_v (1 - p_v), though every label of the data is 0: with those it would be (0.64, 0.09, 0.25)."""
    model = Unigram([0.2, 0.3, 0.5])
    found = consolidated(model, [zeros(800, 5)], seed=0)
    torch.testing.assert_close(found.importance["w"], torch.tensor([0.16, 0.21, 0.25]).double(), rtol=0.15, atol=0.0)
    assert torch.equal(found.anchors["w"], model.w.detach())


def test_labels_are_drawn_from_the_models_distribution() -> None:
    model = Unigram([0.2, 0.3, 0.5])
    hidden = model.w.detach().expand(20_000, 3)
    labels = drawn(model, hidden, torch.Generator().manual_seed(0))
    shares = labels.bincount(minlength=3) / len(labels)
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.3, 0.5]), rtol=0.0, atol=0.02)


def test_what_is_frozen_or_never_used_has_no_importance_and_modes_come_back() -> None:
    model = tiny_gpt2(dropout=0.5)
    model.blocks[0].requires_grad_(False)
    model.train()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    one, two = (consolidated(model, [batch(0), batch(1)], seed=3) for _ in range(2))
    assert [module.training for module in model.modules()] == modes
    assert one.importance.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("blocks.0.") for name in one.importance)
    for name, tensor in one.importance.items():
        assert torch.equal(tensor, two.importance[name]), "no chance but the seed's: no dropout"
        assert (tensor >= 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_penalty_and_its_gradient_by_hand() -> None:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 3.0]]))
    held = Consolidated(
        importance={"weight": torch.tensor([[2.0, 0.5]])}, anchors={"weight": torch.tensor([[0.0, 1.0]])}
    )
    penalty = held.penalty(model)
    assert float(penalty.detach()) == 2.0 * 1 / 2 + 0.5 * 4 / 2
    penalty.backward()
    assert torch.equal(model.weight.grad, torch.tensor([[2.0, 1.0]]))


def test_in_the_objective_it_counts_once_whatever_the_micro_batches() -> None:
    model = tiny_gpt2()
    held = consolidated(model, [batch(0)], seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    objective = elastic(causal, held, 10.0)
    gradients = []
    for parts in (1, 4):
        losses = [objective(model, part) for part in batch(1).split(parts)]
        count = sum(float(loss.count) for loss in losses)
        total = sum(sum(loss.auxiliary.values(), start=loss.total) for loss in losses) / count
        gradients.append(torch.autograd.grad(total, list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    loss = objective(model, batch(1))
    plain = causal(model, batch(1))
    torch.testing.assert_close(loss.total, plain.total)
    torch.testing.assert_close(loss.auxiliary["elastic_weights"] / loss.count, 10.0 * held.penalty(model))


def test_several_tasks_are_one_penalty_and_can_be_saved() -> None:
    first = Consolidated(importance={"w": torch.tensor([4.0])}, anchors={"w": torch.tensor([0.0])})
    second = Consolidated(importance={"w": torch.tensor([1.0])}, anchors={"w": torch.tensor([2.0])})
    both = first.after(second, decay=0.5)
    assert (float(both.importance["w"]), float(both.anchors["w"])) == (3.0, 2.0)
    again = Consolidated.of_tensors(both.tensors())
    assert torch.equal(again.importance["w"], both.importance["w"])
    assert torch.equal(again.anchors["w"], both.anchors["w"])


def test_it_holds_what_matters_where_it_is() -> None:
    """Trained on another task, the weights that mattered move less, and the first task is kept better."""
    torch.manual_seed(0)
    start = tiny_gpt2()
    first, second = [batch(n) for n in range(2)], [batch(n) for n in range(100, 102)]
    _train(start, causal, first, 30)
    held = consolidated(start, first, seed=0)
    losses = {}
    for weight in (0.0, 1000.0):
        model = copy.deepcopy(start)
        _train(model, elastic(causal, held, weight), second, 20)
        losses[weight] = [sum(float(causal(model, b).total.detach()) for b in task) for task in (first, second)]
    assert losses[1000.0][0] < 0.8 * losses[0.0][0]
    assert losses[1000.0][1] > losses[0.0][1]


def _train(model: nn.Module, objective, batches: list[CausalBatch], steps: int) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(steps):
        optimiser.zero_grad()
        loss = objective(model, batches[step % len(batches)])
        (sum(loss.auxiliary.values(), start=loss.total) / loss.count).backward()
        optimiser.step()


def test_refused() -> None:
    model = tiny_gpt2()
    with pytest.raises(DataError, match="no token to predict"):
        consolidated(model, [], seed=0)
    with pytest.raises(ConfigError, match="must not be negative"):
        elastic(causal, Consolidated(importance={}, anchors={}), -1.0)
