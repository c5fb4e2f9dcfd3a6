"""Objectives of whole answers: however texts are laid out and batches cut, one loss; and it begins at zero reward."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.lm.small import network
from tests.training.toys import VOCABULARY, tiny_gpt2
from trivium.adapters.attach import attach
from trivium.adapters.beginning import begin_active
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.sites import ALL_LINEAR
from trivium.data.batches import JudgedBatch, PreferenceBatch
from trivium.data.examples import Example
from trivium.data.preference_batches import (
    JudgedExample,
    PairExample,
    judged_batch,
    preference_batch,
    with_mismatched,
)
from trivium.objectives import kto
from trivium.objectives.answers import Reader
from trivium.objectives.dpo import DPO
from trivium.objectives.ipo import IPO
from trivium.objectives.kto import KTO, Judging
from trivium.objectives.loss import Loss
from trivium.objectives.orpo import ORPO
from trivium.objectives.preferred import PairLoss, preferring
from trivium.objectives.simpo import SimPO
from trivium.recipes.retention import as_now
from trivium.training.activation_checkpointing import checkpoint_blocks

LOSSES: tuple[PairLoss, ...] = (DPO(nll_weight=0.2, margin_weight=0.1), IPO(), ORPO(), SimPO())
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


def example(seed: int, length: int, answer: int) -> Example:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (length,), generator=generator).tolist()
    return Example(ids=ids, trained=[place >= length - answer for place in range(length)])


def pairs() -> list[PairExample]:
    """Of unequal lengths and weights."""
    sizes = [(12, 3, 9, 1), (5, 2, 11, 8), (7, 6, 4, 2), (10, 1, 10, 4), (3, 1, 6, 5)]
    return [
        PairExample(chosen=example(n, a, b), rejected=example(50 + n, c, d), weight=1 / (1 + n), margin=n / 2)
        for n, (a, b, c, d) in enumerate(sizes)
    ]


def whole() -> PreferenceBatch:
    batch = preference_batch(pairs(), range(5))
    return dataclasses.replace(batch, weights=batch.weights.double(), margins=batch.margins.double())


def judged() -> JudgedBatch:
    """What a reference thinks of them is such that the divergence is above 0."""
    answers = [
        JudgedExample(answer=example(n, 4 + n, 2 + n // 2), good=n % 3 > 0, prompt=str(n), weight=1.0 + n)
        for n in range(5)
    ]
    beside = with_mismatched(answers, context_tokens=10)
    return judged_batch([dataclasses.replace(each, reference=(-25.0, -60.0)) for each in beside], range(5))


def moved() -> tuple[nn.Module, Any]:
    """A policy that is no longer its reference, and the way back to that; in fp64."""
    torch.manual_seed(0)
    model = tiny_gpt2().double()
    reference = as_now(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model, reference


def gradients(model: nn.Module, losses: list[Loss]) -> list[torch.Tensor]:
    model.zero_grad()
    sum(loss.total for loss in losses).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@by_loss
def test_a_pair_that_is_not_sure_is_both_ways_round_in_one_step(loss: PairLoss) -> None:
    """Value and gradients are those of two pairs that weigh as much as their way is probable, in the same batch."""
    soft = [dataclasses.replace(pair, probability=0.5 + n / 10) for n, pair in enumerate(pairs())]
    ways = [
        dataclasses.replace(pair, chosen=first, rejected=second, weight=pair.weight * probable, probability=1.0)
        for pair in soft
        for first, second, probable in (
            (pair.chosen, pair.rejected, pair.probability),
            (pair.rejected, pair.chosen, 1 - pair.probability),
        )
    ]
    found = []
    for batch in (preference_batch(soft, range(5)), preference_batch(ways, range(10))):
        model, reference = moved()
        exact = {name: getattr(batch, name).double() for name in ("weights", "margins")}
        objective = preferring(loss, read=Reader(), as_reference=reference if loss.needs_reference else None)
        told = objective(model, dataclasses.replace(batch, **exact))
        found.append((told, gradients(model, [told])))
    (one, own), (other, theirs) = found
    assert one.total.item() == pytest.approx(other.total.item(), rel=1e-6)  # probabilities are float32
    assert one.count.item() == pytest.approx(other.count.item(), rel=1e-6)
    for each, wanted in zip(own, theirs, strict=True):
        torch.testing.assert_close(each, wanted, rtol=1e-5, atol=1e-6)


def test_answers_alone_are_the_same_answers() -> None:
    """In rows, in one row, and one by one: log-probabilities of the answers' own tokens."""
    model = moved()[0].eval()
    batch = whole()
    for read in (Reader(), Reader(joined=False)):
        found = read(model, batch.chosen, batch.rejected)
        for side, answers in zip(("chosen", "rejected"), found, strict=True):
            for row, pair in enumerate(pairs()):
                text = getattr(pair, side)
                log_probs = model.head.logits(model(torch.tensor([text.ids[:-1]])).hidden)[0].log_softmax(-1)
                wanted = [log_probs[t - 1, id].item() for t, id in enumerate(text.ids) if text.trained[t]]
                assert answers.log_probs[row].item() == pytest.approx(sum(wanted), abs=1e-10)
                assert answers.tokens[row].item() == len(wanted)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_joined_is_rows_in_gradients_too(name: str) -> None:
    model = network(name, VOCABULARY)
    layouts = (Reader(), Reader(joined=False))
    found = [gradients(model, [preferring(SimPO(), read=read)(model, whole())]) for read in layouts]
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-10)


def test_recurrent_rows() -> None:
    model = network("lstm", VOCABULARY)
    (together, _), (alone,) = (
        Reader(joined=False)(model, whole().chosen, whole().rejected),
        Reader(joined=False)(model, whole().chosen.part(3, 4)),
    )
    torch.testing.assert_close(together.log_probs[3:4], alone.log_probs, rtol=0, atol=1e-10)


def test_texts_begin_after_a_learnt_prefix() -> None:
    model = tiny_gpt2().double().eval()
    attach(model, "mine", PrefixConfig(tokens=2))
    texts = preference_batch(pairs(), [1, 4]).chosen
    read = Reader(joined=False, begin=lambda network, rows, width: begin_active(network, [None] * rows, width))
    (after,), (without,) = read(model, texts), Reader(joined=False)(model, texts)
    assert (after.log_probs - without.log_probs).abs().min() > 1e-6
    output = model(texts.tokens, lengths=texts.lengths, state=begin_active(model, [None] * 2, texts.tokens.shape[1]))
    log_probs = model.head.log_prob(output.hidden, texts.targets) * texts.mask
    torch.testing.assert_close(after.log_probs, log_probs.sum(1), rtol=0, atol=1e-10)


@by_loss
@pytest.mark.parametrize("parts", [2, 5])
def test_parts_are_the_whole(loss: PairLoss, parts: int) -> None:
    model, reference = moved()
    objective = preferring(loss, read=Reader(), as_reference=reference)
    one = objective(model, whole())
    several = [objective(model, part) for part in whole().split(parts)]
    _assert_same(model, one, several)


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_of_judged_answers_are_the_whole(parts: int) -> None:
    """The divergence is of the whole batch, so the parts know it too; and here it is above 0."""
    model, _ = moved()
    one = Judging(KTO(), read=Reader())(model, judged())
    assert one.metrics["divergence"] > 0
    objective, batch = Judging(KTO(), read=Reader()), judged()
    _assert_same(model, one, [objective(model, part) for part in batch.split(parts)])


def _assert_same(model: nn.Module, one: Loss, several: list[Loss]) -> None:
    torch.testing.assert_close(sum(loss.total for loss in several), one.total, rtol=1e-10, atol=1e-10)
    assert sum(float(loss.count) for loss in several) == pytest.approx(float(one.count), abs=1e-12)
    for name, value in one.metrics.items():
        torch.testing.assert_close(sum(loss.metrics[name] for loss in several), value, rtol=1e-10, atol=1e-10)
    for own, other in zip(gradients(model, several), gradients(model, [one]), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-10)


def test_the_divergence_is_that_of_the_mismatched_answers_and_found_once_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = moved()
    objective, batch, calls = Judging(KTO(beta=0.3), read=Reader()), judged(), []
    estimate = kto.Judging._estimate
    monkeypatch.setattr(kto.Judging, "_estimate", lambda *given: calls.append(1) or estimate(*given))
    first = [objective(model, part) for part in batch.split(5)][-1]
    assert len(calls) == 1
    with torch.no_grad():
        own = Reader()(model.eval(), batch.mismatched.answers)[0].log_probs
    divergence = (own + 60).mean()
    assert float(first.metrics["divergence"] / first.count) == pytest.approx(float(divergence), abs=1e-10)
    with torch.no_grad():
        model.head.weight.mul_(1.5)
    again = objective(model, batch.part(4, 5))  # the same batch, after an update
    assert len(calls) == 2 and not torch.isclose(again.metrics["divergence"], first.metrics["divergence"])


def adapted(dropout: float) -> nn.Module:
    torch.manual_seed(0)
    model = tiny_gpt2(dropout=dropout)
    attach(model, "mine", LoRAConfig(rank=2, targets=ALL_LINEAR, dropout=dropout))
    return model.train()


@pytest.mark.parametrize("kind", ["new adapter", "adapter that goes on", "whole model"])
def test_the_reward_begins_at_zero_exactly(kind: str) -> None:
    """In float32, with dropout in the model and in the adapter; the adapter that goes on is not its base."""
    model = tiny_gpt2(dropout=0.5).train() if kind == "whole model" else adapted(0.5)
    if kind == "adapter that goes on":
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3)
    batch = preference_batch(pairs(), range(5))
    objective = preferring(DPO(), read=Reader(), as_reference=as_now(model))
    loss = objective(model, batch)
    assert loss.metrics["reward_margin"] == 0 and loss.metrics["log_ratio"] == 0
    assert float(loss.total.detach() / loss.count) == pytest.approx(math.log(2), rel=1e-6)
    loss.total.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.5 * parameter.grad
    after = objective(model.train(), batch)
    assert after.total < loss.total and after.metrics["reward_margin"] > 0


def test_the_reference_stays_what_it_was() -> None:
    model, reference = moved()
    read, batch = Reader(), whole()
    with torch.no_grad(), reference(model):
        before = read(model.eval(), batch.chosen)[0].log_probs
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    with torch.no_grad(), reference(model):
        assert read(model, batch.chosen)[0].log_probs.equal(before)


def test_weights_stored_references_and_metrics() -> None:
    model, reference = moved()
    batch = whole()
    with torch.no_grad(), reference(model):
        chosen, rejected = Reader()(model.eval(), batch.chosen, batch.rejected)
    stored = dataclasses.replace(batch, reference=torch.stack([chosen.log_probs, rejected.log_probs], dim=1))
    found = preferring(DPO(beta=0.3), read=Reader())(model, stored)
    in_step = preferring(DPO(beta=0.3), read=Reader(), as_reference=reference)(model, batch)
    torch.testing.assert_close(found.total, in_step.total, rtol=1e-12, atol=0)
    each = [preferring(DPO(beta=0.3), read=Reader())(model, stored.part(row, row + 1)) for row in range(5)]
    ahead = [loss.metrics["reward_margin"].item() / loss.count.item() for loss in each]
    weights = batch.weights.tolist()
    losses = [-math.log(1 / (1 + math.exp(-margin))) for margin in ahead]
    assert found.total.item() == pytest.approx(sum(w * loss for w, loss in zip(weights, losses, strict=True)))
    assert found.count.item() == pytest.approx(sum(weights))
    right = sum(w for w, margin in zip(weights, ahead, strict=True) if margin > 0)
    assert 0 < right < sum(weights) and found.metrics["reward_accuracy"].item() == pytest.approx(right)
    answer_tokens = (batch.chosen.mask.sum(1) + batch.rejected.mask.sum(1)).double()
    assert found.metrics["tokens"].item() == pytest.approx((batch.weights * answer_tokens).sum().item())


def test_recomputed_activations_change_nothing() -> None:
    """Dropout is off when blocks are computed again, too."""
    torch.manual_seed(0)
    model = tiny_gpt2(dropout=0.3).double().train()
    plain = gradients(model, [preferring(SimPO(), read=Reader())(model, whole())])
    checkpoint_blocks(model)
    model.train()
    again = gradients(model, [preferring(SimPO(), read=Reader())(model, whole())])
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
