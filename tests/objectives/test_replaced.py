"""Replaced-token detection: what is drawn, what is judged, and two counts in one loss."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trivium.data.batches import MaskedBatch
from trivium.errors import ConfigError
from trivium.models.electra import Electra, ElectraConfig, weight_map
from trivium.models.electra_pair import ElectraPair, part_of
from trivium.nn.weight_map import export, load_into
from trivium.objectives.replaced import replaced_token_detection
from trivium.training.learners.supervised import SupervisedConfig, SupervisedLearner
from trivium.training.optimisers import OptimiserConfig

V = 19
CONFIG = ElectraConfig(
    vocabulary_size=V,
    embedding_width=12,
    width=16,
    layers=2,
    heads=4,
    inner_width=24,
    context_tokens=16,
    dropout=0.0,
    attention_dropout=0.0,
    head="replaced",
)


def pair(**changes: object) -> ElectraPair:
    torch.manual_seed(1)
    model = ElectraPair(dataclasses.replace(CONFIG, **changes), generator_share=1 / 2).double()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def batch(rows: int = 6, seed: int = 2) -> MaskedBatch:
    """Every number is followed by the next, so that what is missing can be known; id 0 is the mask."""
    generator = torch.Generator().manual_seed(seed)
    targets = 1 + (torch.randint(V - 1, (rows, 1), generator=generator) + torch.arange(12)) % (V - 1)
    lengths = torch.randint(6, 13, (rows,), generator=generator)
    mask = (torch.rand(rows, 12, generator=generator) < 0.2) & (torch.arange(12) < lengths[:, None])
    mask[0, 1] = True
    return MaskedBatch(targets.masked_fill(mask, 0), targets, mask, lengths)


def seen_by_discriminator(model: ElectraPair, given: MaskedBatch, **options: float) -> Tensor:
    """The tokens that the discriminator was given."""
    seen = []
    model.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    replaced_token_detection(model, given, **options)
    return seen[0]


def test_the_loss_is_that_of_the_paper_for_what_was_drawn() -> None:
    model, given = pair().train(), batch(rows=60)
    torch.manual_seed(5)
    tokens = seen_by_discriminator(model, given)
    torch.manual_seed(5)
    loss = replaced_token_detection(model, given, weight=7.0, masked_share=0.2)
    guessed = model.generator(given.tokens, lengths=given.lengths).hidden[given.mask]
    likelihood = F.cross_entropy(model.generator.head.logits(guessed), given.targets[given.mask], reduction="sum")
    valid = torch.arange(12) < given.lengths[:, None]
    scores = model.discriminator.replaced(model.discriminator(tokens, lengths=given.lengths).hidden)[valid]
    wrong = (tokens != given.targets)[valid]
    judged = -torch.where(wrong, F.logsigmoid(scores), F.logsigmoid(-scores)).sum()
    assert 0 < int(wrong.sum()) < int(given.mask.sum())
    torch.testing.assert_close(loss.total, likelihood / 0.2 + 7.0 * judged)
    assert loss.count == valid.sum()
    torch.testing.assert_close(loss.metrics["discriminator"], judged.detach())
    torch.testing.assert_close(loss.metrics["generator"], likelihood.detach() / 0.2)
    assert loss.metrics["replaced"] == wrong.sum()
    assert loss.metrics["told"] == ((scores > 0) == wrong).sum()


def test_only_masked_tokens_are_drawn_and_one_drawn_right_is_original() -> None:
    model, given = pair().train(), batch()
    tokens = seen_by_discriminator(model, given)
    assert torch.equal(tokens[~given.mask], given.targets[~given.mask])
    assert not torch.equal(tokens, given.targets)
    with torch.no_grad():  # a generator that is always right: nothing is replaced
        model.generator.head.output.bias.zero_()
        model.generator.head.output.bias[7] = 1e4
    sevens = dataclasses.replace(given, targets=given.targets.masked_fill(given.mask, 7))
    assert replaced_token_detection(model, sevens).metrics["replaced"] == 0


def test_tokens_are_drawn_from_the_generators_distribution() -> None:
    model = pair().train()
    one = batch(rows=1)
    mask = torch.zeros_like(one.mask)
    mask[0, 3] = True
    many = MaskedBatch(
        *(x.expand(4_000, *x.shape[1:]) for x in (one.targets.masked_fill(mask, 0), one.targets, mask)),
        one.lengths.expand(4_000),
    )
    with torch.no_grad():
        drawn = seen_by_discriminator(model, many)[:, 3]
        hidden = model.generator(many.tokens[:1], lengths=one.lengths).hidden[0, 3]
        wanted = torch.softmax(model.generator.head.logits(hidden), -1)
    counts = torch.bincount(drawn, minlength=V) / 4_000
    assert (counts - wanted).abs().max() < 5 * (0.25 / 4_000) ** 0.5


def test_the_generator_learns_from_its_likelihood_alone() -> None:
    model, given = pair().train(), batch()
    gradients = []
    for weight in (0.0, 50.0):
        model.zero_grad()
        replaced_token_detection(model, given, weight=weight).total.backward()
        gradients.append([p.grad.clone() for p in model.generator.blocks.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert all(p.grad is not None for p in model.parameters())


def test_parts_add_up_to_the_whole() -> None:
    """Loss, count and gradients of micro-batches, whatever share of each is masked."""
    model, given = pair().train(), batch(rows=7)
    results = []
    for parts in (1, 3):
        torch.manual_seed(3)
        model.zero_grad()
        losses = [replaced_token_detection(model, part) for part in given.split(parts)]
        for loss in losses:
            loss.total.backward()
        count = sum(loss.count for loss in losses)
        results.append(
            [sum(loss.total for loss in losses).detach() / count, *(p.grad / count for p in model.parameters())]
        )
    for whole, added in zip(*results, strict=True):
        torch.testing.assert_close(whole, added, rtol=0, atol=1e-10)


def test_evaluation_draws_alike_and_leaves_chance_alone() -> None:
    model, given = pair().eval(), batch()
    before = torch.get_rng_state()
    assert len({replaced_token_detection(model, given).total.item() for _ in range(2)}) == 1
    assert torch.equal(torch.get_rng_state(), before)
    model.train()
    assert len({replaced_token_detection(model, given).total.item() for _ in range(3)}) == 3


def test_a_pair_learns_and_its_discriminator_is_published() -> None:
    torch.manual_seed(0)
    model = ElectraPair(dataclasses.replace(CONFIG, width=32, embedding_width=24), generator_share=1 / 4)
    optimiser = OptimiserConfig(kind="muon", learning_rate=2e-2, muon_learning_rate=0.05)
    learner = SupervisedLearner(model, replaced_token_detection, SupervisedConfig(optimiser=optimiser), steps=60)
    given = batch(rows=8)
    numbers = [learner.step(given) for _ in range(60)]
    for name in ("loss", "generator", "discriminator"):
        assert numbers[-1][name] < 0.5 * numbers[0][name], name
    assert 0.9 < numbers[-1]["told"] <= 1.0
    published = part_of(learner.weights(), "discriminator")
    stored = dict(export(published, weight_map(model.config)))
    other = Electra(model.config).eval()
    load_into(other, weight_map(model.config), stored, stored.__getitem__)
    wanted = model.eval()(given.targets, lengths=given.lengths).hidden
    assert torch.equal(other(given.targets, lengths=given.lengths).hidden, wanted)


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="masked_share"):
        replaced_token_detection(pair(), batch(), masked_share=0.0)
    with pytest.raises(ConfigError, match="weight"):
        replaced_token_detection(pair(), batch(), weight=-1.0)


def test_sums_are_not_made_in_bf16() -> None:
    loss = replaced_token_detection(pair().to(torch.bfloat16), batch())
    assert loss.total.dtype == loss.metrics["discriminator"].dtype == torch.float32
