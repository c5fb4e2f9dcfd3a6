"""What holds a model near what it was: with an adapter, with some of its own weights, on a copy of it."""

import copy

import pytest
import torch
from torch import nn

from tests.training.toys import batch, tiny_gpt2
from trivium.adapters.attach import attach
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.errors import ConfigError, DataError
from trivium.objectives.causal import causal
from trivium.recipes.retention import RetentionConfig, as_now, retaining
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig
from trivium.training.schedules import ScheduleConfig


def adapted() -> nn.Module:
    torch.manual_seed(0)
    model = tiny_gpt2()
    attach(model, "mine", LoRAConfig(rank=2, targets=ALL_LINEAR))
    return model


def biases() -> nn.Module:
    torch.manual_seed(0)
    model = tiny_gpt2()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    return model


@pytest.mark.parametrize("make", [adapted, biases, tiny_gpt2])
def test_the_model_computes_as_it_did_and_then_as_it_does(make) -> None:
    model = make().eval()
    tokens = batch(0).tokens
    began = model(tokens).hidden
    as_base = as_now(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    now = model(tokens).hidden
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with as_base(model):
        assert torch.equal(model(tokens).hidden, began)
    assert torch.equal(model(tokens).hidden, now) and not torch.equal(now, began)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    other = copy.deepcopy(model)
    with as_base(other):
        assert torch.equal(other(tokens).hidden, began)
        assert torch.equal(model(tokens).hidden, now)


def test_a_graph_made_before_is_good_for_its_backward_pass() -> None:
    model = tiny_gpt2()
    as_base = as_now(model)
    with torch.no_grad():
        model.blocks[0].feedforward.up.weight.add_(0.1)
    gradients = []
    for exchanged in (False, True):
        loss = causal(model, batch(0)).total
        if exchanged:
            with as_base(model):
                model(batch(1).tokens)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("make", [adapted, tiny_gpt2])
@pytest.mark.parametrize("settings", [{"kept_close": 30.0}, {"elastic_weights": 3000.0, "fisher_rows": 8}])
def test_it_keeps_the_model_near_its_base(make, settings: dict[str, float]) -> None:
    """After some updates the probabilities have moved less than without, and the new text is still learnt."""
    moved, losses = {}, {}
    for name, config in (("free", RetentionConfig()), ("held", RetentionConfig(**settings))):
        torch.manual_seed(0)
        model = make()
        with torch.no_grad():
            base = model(batch(0).tokens).hidden
            base = model.head.logits(base).log_softmax(-1)
        objective = retaining(config, model, text=(batch(n) for n in range(50, 60)))
        rate = SupervisedConfig(
            optimiser=OptimiserConfig(learning_rate=0.01, weight_decay=0.0),
            schedule=ScheduleConfig(kind="constant", warmup_steps=0),
            micro_batches=2,
        )
        learner = SupervisedLearner(model, objective, rate, steps=12)
        rows = [learner.step(batch(0)) for _ in range(12)]
        losses[name] = (rows[0]["loss"], rows[-1]["loss"])
        with torch.no_grad():
            now = model.eval().head.logits(model(batch(0).tokens).hidden).log_softmax(-1)
        moved[name] = float((base.exp() * (base - now)).sum(-1).mean())
    assert moved["held"] < 0.7 * moved["free"]
    assert losses["held"][1] < losses["held"][0]


def test_without_anything_it_is_causal() -> None:
    model = tiny_gpt2()
    found, plain = (objective(model, batch(0)) for objective in (retaining(RetentionConfig(), model), causal))
    assert torch.equal(found.total, plain.total) and not found.auxiliary


def test_refused() -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        RetentionConfig(kept_close=-1.0)
    with pytest.raises(DataError, match="less general text"):
        retaining(RetentionConfig(elastic_weights=1.0, fisher_rows=9), tiny_gpt2(), text=[batch(0), batch(1)])
