"""The choice of experts, held against the published formulas written token by token."""

import math

import pytest
import torch
from torch import Tensor

from trivium.errors import ConfigError
from trivium.nn.routing import (
    Choice,
    Router,
    Routing,
    Routings,
    expert_layers,
    load_balance,
    shares,
    within_capacity,
    z_loss,
)

CORRECTED = Choice(experts=4, chosen=2, scores="sigmoid", correction=True, correction_rate=0.001)


def router(choice: Choice, **options: bool) -> tuple[Router, Tensor]:
    torch.manual_seed(0)
    module = Router(6, choice, **options).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    if module.correction is not None:
        module.correction.normal_()
    return module, torch.randn(9, 6, dtype=torch.float64)


def as_pairs(routing: Routing) -> list[dict[int, float]]:
    """The weight of each chosen expert, token by token."""
    both = zip(routing.chosen.tolist(), routing.weights.tolist(), strict=True)
    return [dict(zip(chosen, weights, strict=True)) for chosen, weights in both]


def check(routing: Routing, expected: list[dict[int, float]]) -> None:
    for ours, theirs in zip(as_pairs(routing), expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("renormalise", [True, False])
def test_softmax_over_all_then_the_best(renormalise: bool) -> None:
    module, x = router(Choice(experts=5, chosen=2, renormalise=renormalise, scaling=1.5))
    expected = []
    for row in x:
        p = module.logits(row).softmax(-1).tolist()
        best = sorted(range(5), key=lambda e: -p[e])[:2]
        total = sum(p[e] for e in best) if renormalise else 1.0
        expected.append({e: 1.5 * p[e] / total for e in best})
    check(module(x), expected)


def test_softmax_over_the_chosen_logits_with_a_bias() -> None:
    """gpt-oss."""
    module, x = router(Choice(experts=5, chosen=3), bias=True)
    expected = []
    for row in x:
        z = (module.logits.weight @ row + module.logits.bias).tolist()
        best = sorted(range(5), key=lambda e: -z[e])[:3]
        expected.append({e: math.exp(z[e]) / sum(math.exp(z[b]) for b in best) for e in best})
    check(module(x), expected)


def test_sigmoid_scores_with_a_correction_and_groups() -> None:
    """DeepSeek-V3: the correction decides between groups and experts, and is not part of the weights."""
    choice = Choice(
        experts=8, chosen=3, scores="sigmoid", scaling=2.5, correction=True, groups=4, chosen_groups=2, renormalise=True
    )
    module, x = router(choice)
    expected = []
    for row in x:
        s = module.logits(row).sigmoid().tolist()
        ranks = [score + c for score, c in zip(s, module.correction.tolist(), strict=True)]
        best_groups = sorted(range(4), key=lambda g: -sum(sorted(ranks[2 * g : 2 * g + 2])[-2:]))[:2]
        allowed = [e for e in range(8) if e // 2 in best_groups]
        best = sorted(allowed, key=lambda e: -ranks[e])[:3]
        expected.append({e: 2.5 * s[e] / sum(s[b] for b in best) for e in best})
    check(module(x), expected)
    torch.testing.assert_close(module(x).probabilities, (s := module.logits(x).sigmoid()) / s.sum(-1, keepdim=True))


@pytest.mark.parametrize(
    "fields",
    [
        {"experts": 4, "chosen": 5},
        {"experts": 4, "chosen": 0},
        {"experts": 4, "chosen": 1, "correction": True},
        {"experts": 4, "chosen": 1, "correction_rate": -0.1},
        {"experts": 6, "chosen": 1, "scores": "sigmoid", "groups": 4, "chosen_groups": 1},
        {"experts": 6, "chosen": 4, "scores": "sigmoid", "groups": 2, "chosen_groups": 1},
        {"experts": 6, "chosen": 1, "scores": "sigmoid", "groups": 2, "chosen_groups": 3},
    ],
)
def test_impossible_choices_are_refused(fields: dict) -> None:
    with pytest.raises(ConfigError):
        Choice(**fields)


def test_half_precision_is_routed_in_float32() -> None:
    module, x = router(Choice(experts=5, chosen=2))
    module.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        routing = module(x.float())
    assert routing.logits.dtype == torch.float32
    check(routing, as_pairs(module(x.float())))


def test_sigmoid_scores_are_of_float32_products_in_a_model_of_any_dtype() -> None:
    """DeepSeek-V3."""
    module, x = router(CORRECTED)
    module, x = module.to(torch.bfloat16), x.bfloat16()
    expected = x.float() @ module.logits.weight.float().t()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = module(x)
    for routing in (module(x), narrow):
        assert torch.equal(routing.logits, expected)
        assert routing.weights.dtype == torch.bfloat16
    assert (Router(6, CORRECTED).double().logits(x.double())).dtype == torch.float64


def test_a_correction_stays_as_exact_as_its_steps() -> None:
    module = Router(6, CORRECTED)
    module.correction.fill_(1.001)
    for narrow in (torch.bfloat16, torch.float16):
        assert module.to(narrow).logits.weight.dtype == narrow
        assert module.correction.tolist() == torch.full((4,), 1.001).tolist()
    assert module.double().correction.dtype == torch.float64


def test_the_correction_moves_towards_experts_that_are_chosen_too_rarely() -> None:
    """Wang et al. 2024, algorithm 1: by the sign of the mean less the count, of real tokens alone."""
    module = Router(6, CORRECTED)
    module.correction.fill_(0.5)
    chosen = torch.tensor([[0, 1], [0, 2], [0, 1], [3, 2], [3, 3]])
    real = torch.tensor([True, True, True, True, False])
    routing = Routing(logits=torch.zeros(5, 4), chosen=chosen, weights=torch.ones(5, 2), scores="sigmoid")
    module.count(routing, real)
    assert module.take_load().tolist() == [3, 2, 2, 1]
    assert module.take_load() is None
    module.rebalance(torch.tensor([3, 2, 2, 1]))
    torch.testing.assert_close(module.correction, torch.tensor([0.499, 0.5, 0.5, 0.501]))
    for untouched in (Router(6, Choice(experts=4, chosen=2)), module.requires_grad_(False)):
        untouched.count(routing, None)
        assert untouched.take_load() is None


def layers(count: int) -> tuple[Routings, Tensor]:
    """Some layers' routing of two rows, of which the second ends early."""
    routings = Routings.of(torch.zeros(2, 5), lengths=torch.tensor([5, 2]))
    for seed in range(count):
        torch.manual_seed(seed)
        routings.layers.append(Router(6, Choice(experts=4, chosen=2)).double()(torch.randn(10, 6).double()))
    return routings, torch.tensor([0, 1, 2, 3, 4, 5, 6])


def test_load_balance_by_hand() -> None:
    """Of all layers together, and of real tokens alone."""
    routings, real = layers(3)
    counts, probabilities = [0.0] * 4, [0.0] * 4
    for routing in routings.layers:
        for n in real.tolist():
            for e in routing.chosen[n].tolist():
                counts[e] += 1
            for e, p in enumerate(routing.logits[n].softmax(-1).tolist()):
                probabilities[e] += p
    rows = 3 * 7
    expected = 4 * sum(f / rows * p / rows for f, p in zip(counts, probabilities, strict=True))
    assert load_balance(routings).item() == pytest.approx(7 * expected)
    losses = routings.losses(balance_weight=0.5, z_weight=0.0)
    assert {name: loss.item() for name, loss in losses.items()} == {"load_balance": pytest.approx(3.5 * expected)}


def test_load_balance_at_its_ends() -> None:
    """1 a token and chosen expert when all are alike, E when all tokens go to one expert and surely."""

    def of(logits: Tensor) -> float:
        values, chosen = logits.topk(1)
        routing = Routing(logits=logits, chosen=chosen, weights=values.softmax(-1), scores="softmax")
        return load_balance(Routings(None, [routing])).item() / logits.shape[0]

    assert of(torch.eye(4).repeat(3, 1)) == pytest.approx(1.0)
    assert of(100.0 * torch.eye(4)[[2] * 8]) == pytest.approx(4.0)


def test_z_loss_and_shares_by_hand() -> None:
    routings, real = layers(2)
    expected = sum(
        math.log(sum(math.exp(z) for z in routing.logits[n].tolist())) ** 2
        for routing in routings.layers
        for n in real.tolist()
    )
    assert z_loss(routings).item() == pytest.approx(expected)
    for share, routing in zip(shares(routings), routings.layers, strict=True):
        chosen = routing.chosen[real].flatten().tolist()
        assert share.tolist() == pytest.approx([chosen.count(e) / 14 for e in range(4)])


def test_losses_move_the_router() -> None:
    module, x = router(Choice(experts=4, chosen=2))
    routings = Routings(None, [module(x)])
    sum(routings.losses(balance_weight=1.0, z_weight=1.0).values()).backward()
    assert module.logits.weight.grad.abs().sum() > 0
    assert Routings(None).losses(balance_weight=1.0, z_weight=1.0) == {}


def test_padding_of_packed_rows() -> None:
    segments = torch.tensor([[0, 0, 1, -1], [3, 3, 3, 3]])
    assert Routings.of(segments, segments=segments).real.tolist() == [True] * 3 + [False] + [True] * 4


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 4.0])
def test_capacity_against_one_at_a_time(factor: float) -> None:
    """First choices of all tokens in order, then second ones, until an expert is full; padding takes no room."""
    torch.manual_seed(5)
    chosen = torch.rand(20, 4).topk(2).indices
    chosen[:12, 0], chosen[:12, 1] = 1, 3  # crowded
    real = torch.rand(20) > 0.3
    room = [math.ceil(factor * 2 * int(real.sum()) / 4)] * 4
    expected = torch.zeros(20, 2, dtype=torch.bool)
    for rank in range(2):
        for n in range(20):
            expert = int(chosen[n, rank])
            if real[n] and room[expert]:
                room[expert] -= 1
                expected[n, rank] = True
    assert torch.equal(within_capacity(chosen, 4, factor, real), expected)
    assert expected.sum() < 2 * real.sum() or factor >= 4


def test_layers_that_have_experts() -> None:
    assert expert_layers(4) == (True,) * 4
    assert expert_layers(5, step=2) == (False, True, False, True, False)
    assert expert_layers(4, dense=(0, 3)) == (False, True, True, False)
