"""Private training through the one trainer, and the guarantee that is told with it."""

import json
import math
import pathlib

import pytest
import torch

from tests.training.toys import learner_of
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.data.examples import Example
from trivium.models.gpt2 import GPT2, GPT2Config
from trivium.recipes.privacy import PRIVACY, keep_statement, privacy_of, private_source, statement, told_apart
from trivium.training.optimisers import OptimiserConfig
from trivium.training.privacy_accountant import epsilon
from trivium.training.private_gradients import PrivacyConfig
from trivium.training.run import Run

EXAMPLES = [Example.of([1, 2 + n % 4], [8 + n % 4] * 3, end_id=0) for n in range(60)]


def test_an_adapter_learns_what_all_examples_have_in_common() -> None:
    torch.manual_seed(0)
    model = GPT2(GPT2Config(vocabulary_size=16, width=16, layers=1, heads=2, context_tokens=8, dropout=0.0))
    attach(model, "mine", LoRAConfig(rank=2, targets=ALL_LINEAR))
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    source = private_source(EXAMPLES, vocabulary_size=16, context_tokens=8, rows=10)()
    privacy = privacy_of(PrivacyConfig(noise=0.1), examples=60, rows=10)(60)
    learner = learner_of(model, privacy=privacy, steps=60, optimiser=OptimiserConfig(learning_rate=0.05))
    losses = [learner.step(next(source))["loss"] for _ in range(60)]
    assert sum(losses[-5:]) < 0.98 * sum(losses[:5])  # noise and sampling are not seeded; 0.94 is usual
    assert all(torch.equal(parameter, frozen[name]) for name, parameter in model.named_parameters() if name in frozen)


def test_the_guarantee_is_told_for_the_steps_that_were_done(tmp_path: pathlib.Path) -> None:
    privacy = privacy_of(PrivacyConfig(epsilon=4.0, delta=1e-4), examples=60, rows=6)(100)
    run = Run.start(tmp_path / "run", {}, resume=False)
    section = keep_statement(run, privacy, 40)
    told = json.loads((run.folder / PRIVACY).read_text())
    assert told == statement(privacy, 40)
    assert (told["delta"], told["sample_rate"], told["steps"]) == (1e-4, 0.1, 40)
    assert told["epsilon"] == epsilon(sample_rate=0.1, noise=privacy.noise, steps=40, delta=1e-4) < 4.0
    assert statement(privacy, 100)["epsilon"] == pytest.approx(4.0, abs=1e-3)
    assert f"epsilon {told['epsilon']:.3g} at delta 0.0001" in section.body and "Poisson" in section.body


def test_how_often_the_best_test_is_right() -> None:
    """By hand, and at the ends: guessing, certainty, and an epsilon whose exponential no float holds."""
    assert told_apart(1.0, 0.01) == pytest.approx((math.e + 0.01) / (math.e + 1))
    assert told_apart(0.0, 0.0) == 0.5 and told_apart(0.0, 1.0) == 1 and told_apart(1e6, 0.0) == 1
    assert told_apart(8.0, 0.0) > 0.999, "which is nearly everything, and is to be said so"
