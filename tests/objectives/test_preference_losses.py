"""Losses of preferences against TRL's, in value and gradient, against numbers worked out by hand, and differences."""

import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trivium.errors import ConfigError
from trivium.objectives.answers import Answers
from trivium.objectives.dpo import DPO, dpo_loss
from trivium.objectives.ipo import IPO, ipo_loss
from trivium.objectives.kto import KTO, kto_loss
from trivium.objectives.orpo import ORPO, log_odds, odds_ratio_loss
from trivium.objectives.preferred import Compared
from trivium.objectives.simpo import SimPO, simpo_loss

STORED = json.loads((pathlib.Path(__file__).parent / "data" / "trl_losses.json").read_text())
CASES = STORED["cases"]


def answers(inputs: dict[str, Tensor], logits: Tensor, *, ids: str = "ids", mask: str = "mask") -> Answers:
    """Each row's sum of log-probabilities where the mask is 1; a token is predicted at the position before it."""
    log_probs = logits.log_softmax(-1)[:, :-1].gather(-1, inputs[ids][:, 1:, None])[..., 0]
    marks = inputs[mask][:, 1:]
    return Answers(log_probs=(log_probs * marks).sum(1), tokens=marks.sum(1).to(logits.dtype))


def of_pairs(case: dict[str, Any], inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(the mean loss, what the gradient is with respect to)."""
    logits = inputs["logits"].requires_grad_()
    own, theirs = answers(inputs, logits), answers(inputs, inputs["reference"])
    half = len(logits) // 2
    chosen, rejected = (
        Answers(log_probs=own.log_probs[p], tokens=own.tokens[p]) for p in (slice(half), slice(half, None))
    )
    reference = theirs.log_probs.view(2, half).T
    compared = Compared(chosen=chosen, rejected=rejected, reference=reference, margins=torch.zeros(half))
    loss = {"dpo": DPO, "ipo": IPO}[case["name"]](**case["settings"])
    return loss(compared).mean(), logits


def of_numbers(case: dict[str, Any], inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    numbers = inputs["numbers"].requires_grad_()
    if case["name"] == "orpo":
        return case["settings"]["beta"] * odds_ratio_loss(numbers[0], numbers[1]).mean(), numbers
    loss = {"simpo": simpo_loss, "cdpo": dpo_loss}[case["name"]]
    return loss(numbers[0], numbers[1], **case["settings"]).mean(), numbers


def of_judged(case: dict[str, Any], inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    logits = inputs["logits"].requires_grad_()
    ratio = answers(inputs, logits).log_probs - answers(inputs, inputs["reference"]).log_probs
    mismatched = (
        answers(inputs, inputs[name], ids="kl_ids", mask="kl_mask").log_probs for name in ("kl_logits", "kl_reference")
    )
    own, theirs = mismatched
    divergence = (own - theirs).mean().clamp_min(0)
    return KTO(**case["settings"])(ratio, inputs["good"], divergence).mean(), logits


@pytest.mark.parametrize("case", CASES, ids=[f"{case['name']}-{n}" for n, case in enumerate(CASES)])
def test_as_in_trl(case: dict[str, Any]) -> None:
    assert STORED["trl"] == "1.12.0"
    kinds = {"ids": torch.long, "mask": torch.long, "kl_ids": torch.long, "kl_mask": torch.long, "good": torch.bool}
    inputs = {name: torch.tensor(v, dtype=kinds.get(name, torch.float64)) for name, v in case["inputs"].items()}
    computed = {"dpo": of_pairs, "ipo": of_pairs, "kto": of_judged}.get(case["name"], of_numbers)
    loss, leaf = computed(case, inputs)
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-6, abs=1e-6)
    wanted = torch.tensor(case["gradient"], dtype=torch.float64)
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-6 * wanted.abs().max().item())


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def pair(chosen: tuple[float, int], rejected: tuple[float, int], reference: tuple[float, float], margin: float = 0.0):
    """One pair: (log-probability, tokens) of each."""
    sides = [Answers(log_probs=one(log_prob), tokens=one(tokens)) for log_prob, tokens in (chosen, rejected)]
    numbers = torch.tensor([reference], dtype=torch.float64)
    return Compared(chosen=sides[0], rejected=sides[1], reference=numbers, margins=one(margin))


def test_dpo_by_hand() -> None:
    """Ratios -10 + 12 = 2 and -9 + 8 = -1: the first is ahead by 3."""
    seen = pair((-10.0, 5), (-9.0, 3), (-12.0, -8.0), margin=4.0)
    assert DPO(beta=0.5)(seen).item() == pytest.approx(-math.log(sigmoid(1.5)))
    smoothed = -0.9 * math.log(sigmoid(1.5)) - 0.1 * math.log(sigmoid(-1.5))
    assert DPO(beta=0.5, label_smoothing=0.1)(seen).item() == pytest.approx(smoothed)
    assert DPO(beta=0.5, nll_weight=0.3)(seen).item() == pytest.approx(-math.log(sigmoid(1.5)) + 0.3 * 10 / 5)
    assert DPO(beta=0.5, margin_weight=0.25)(seen).item() == pytest.approx(-math.log(sigmoid(1.5 - 1.0)))
    assert [reward.item() for reward in DPO(beta=0.5).rewards(seen)] == [1.0, -0.5]


def test_the_others_by_hand() -> None:
    seen = pair((-10.0, 5), (-9.0, 3), (-12.0, -8.0))
    assert IPO(beta=0.25)(seen).item() == pytest.approx((2 / 5 + 1 / 3 - 2) ** 2)
    assert SimPO(beta=2.0, gamma=0.5)(seen).item() == pytest.approx(-math.log(sigmoid(2 * (-2 + 3) - 0.5)))
    odds = [math.exp(-2) / (1 - math.exp(-2)), math.exp(-3) / (1 - math.exp(-3))]
    assert ORPO(beta=0.25)(seen).item() == pytest.approx(2 - 0.25 * math.log(sigmoid(math.log(odds[0] / odds[1]))))
    loss = KTO(beta=0.5, desirable_weight=2.0, undesirable_weight=3.0)
    good = torch.tensor([True, False])
    found = loss(torch.tensor([1.0, 1.0], dtype=torch.float64), good, torch.tensor(0.4, dtype=torch.float64))
    assert found.tolist() == pytest.approx([2 * (1 - sigmoid(0.3)), 3 * (1 - sigmoid(-0.3))])


LOSSES: dict[str, Callable[..., Tensor]] = {
    "dpo": lambda c, r: dpo_loss(c, r, beta=0.3, label_smoothing=0.1, offset=0.2),
    "ipo": lambda c, r: ipo_loss(c, r, beta=0.3),
    "simpo": lambda c, r: simpo_loss(c, r, beta=2.0, gamma=0.5, label_smoothing=0.1),
    "orpo": odds_ratio_loss,
    "kto": lambda c, r: kto_loss(c - r, torch.tensor([True, False, True]), torch.tensor(0.3).double(), beta=0.7),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_by_differences(loss: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    chosen, rejected = (-torch.rand(3, dtype=torch.float64) * 3 - 0.05 for _ in range(2))
    assert torch.autograd.gradcheck(loss, (chosen.requires_grad_(), rejected.requires_grad_()))


def test_odds_keep_their_digits_and_certainty_is_finite() -> None:
    """In float32: near certainty, far from it, and at it."""
    exact = [math.log(math.exp(x) / -math.expm1(x)) for x in (-1e-5, -0.5, -0.7, -5.0, -80.0)]
    found = log_odds(torch.tensor([-1e-5, -0.5, -0.7, -5.0, -80.0]))
    torch.testing.assert_close(found, torch.tensor(exact), rtol=1e-6, atol=1e-6)
    certain = torch.tensor([0.0, -200.0], requires_grad=True)
    log_odds(certain).sum().backward()
    assert certain.grad is not None and certain.grad.isfinite().all() and log_odds(certain).isfinite().all()


def test_losses_of_large_numbers_are_finite() -> None:
    far = torch.tensor([-4000.0, 4000.0])
    assert dpo_loss(far, -far, beta=1.0, label_smoothing=0.1).isfinite().all()
    good, origin = torch.tensor([True, False]), torch.tensor(0.0)
    assert kto_loss(far, good, origin, beta=1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (DPO, {"beta": 0.0}),
        (DPO, {"beta": math.nan}),
        (DPO, {"label_smoothing": 0.5}),
        (DPO, {"nll_weight": -0.1}),
        (DPO, {"margin_weight": math.inf}),
        (IPO, {"beta": -1.0}),
        (SimPO, {"gamma": -0.1}),
        (ORPO, {"beta": math.inf}),
        (KTO, {"undesirable_weight": 0.0}),
    ],
)
def test_impossible_settings_are_refused(loss: Callable[..., Any], settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        loss(**settings)
