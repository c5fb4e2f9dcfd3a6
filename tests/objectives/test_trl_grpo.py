"""GRPO, DAPO and Dr. GRPO: the losses and gradients that trl gives for the same log-probabilities (`trl_losses.py`)."""

import json
import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trivium.objectives.kl import k3
from trivium.objectives.ppo import Average, PPOBatch, PPOConfig, averaging, ppo

CASES = json.loads((pathlib.Path(__file__).parent / "data" / "trl_grpo.json").read_text())["cases"]
AVERAGES: dict[str, Average] = {"grpo": "texts", "dapo": "tokens", "dr_grpo": "length"}


class Told(nn.Module):
    """A model whose log-probabilities are given; every text is one token of prompt and its answer."""

    def __init__(self, log_probs: Tensor) -> None:
        super().__init__()
        self.log_probs = log_probs
        self.head = SimpleNamespace(log_prob=lambda hidden, targets, temperature: hidden[:, 0])

    def forward(self, tokens: Tensor, *, lengths: Tensor) -> SimpleNamespace:
        # The state before a token holds the log-probability of it.
        return SimpleNamespace(hidden=torch.cat([self.log_probs, self.log_probs[:, :1]], 1)[:, :, None])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}, beta {case['settings']['beta']}")
def test_loss_and_gradient(case: dict[str, Any]) -> None:
    given, settings = case["inputs"], case["settings"]
    log_probs = torch.tensor(given["log_probs"], dtype=torch.float64, requires_grad=True)
    rows, length = log_probs.shape
    before = torch.zeros(rows, 1, dtype=torch.float64)
    mask = torch.cat([before.bool(), torch.tensor(given["mask"]).bool()], 1)
    old, reference = (
        torch.cat([before, torch.tensor(given[name], dtype=torch.float64)], 1)
        for name in ("old_log_probs", "reference_log_probs")
    )
    advantages = torch.tensor(given["advantages"], dtype=torch.float64)[:, None].expand(-1, length + 1)
    weights, counts = averaging(mask, AVERAGES[case["name"]], settings["max_completion_length"], old)
    batch = PPOBatch(
        torch.zeros(rows, length + 1, dtype=torch.long),
        torch.full((rows,), length + 1),
        mask,
        old,
        old,
        advantages,
        old,
        weights,
        counts,
        reference,
    )
    config = PPOConfig(clip=settings["epsilon"], clip_high=settings["epsilon_high"])
    beta = settings["beta"]
    loss = ppo(Told(log_probs), None, batch, config, penalty=lambda own, theirs: beta * k3(own, theirs))
    mean = loss.total / loss.count
    mean.backward()
    assert float(mean.detach()) == pytest.approx(case["loss"], abs=1e-6)
    torch.testing.assert_close(
        log_probs.grad, torch.tensor(case["gradient"], dtype=torch.float64), rtol=1e-6, atol=1e-6
    )
