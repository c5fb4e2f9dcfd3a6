"""TextGAN's losses: the parts by hand, and the sign of each in both players."""

import dataclasses

import pytest
import torch

from trivium.errors import ConfigError
from trivium.objectives.mmd import squared_mmd
from trivium.objectives.textgan import Judged, TextGANConfig, discriminator_loss, generator_loss

CONFIG = TextGANConfig(bandwidths=(1.0, 3.0), reconstruction_weight=0.3, matching_weight=0.7)


def build() -> Judged:
    shapes = [(5,), (5,), (5, 4), (5, 4), (5, 3), (5, 3)]
    return Judged(*(torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes))


def test_discriminator_by_hand():
    judged = build()
    loss = discriminator_loss(judged, CONFIG)
    gan = torch.log(torch.sigmoid(judged.real)).mean() + torch.log(1 - torch.sigmoid(judged.generated)).mean()
    reconstruction = (judged.told_codes - judged.codes).norm(dim=1).square().mean()
    discrepancy = squared_mmd(judged.real_features, judged.generated_features, (1.0, 3.0))
    torch.testing.assert_close(loss.total / loss.count, -(gan - 0.3 * reconstruction + 0.7 * discrepancy))
    means = {name: value / loss.count for name, value in loss.metrics.items()}
    torch.testing.assert_close(means["classification"], -gan.detach())
    torch.testing.assert_close(means["reconstruction"], reconstruction.detach())
    torch.testing.assert_close(means["discrepancy"], discrepancy.detach())
    told = (judged.real > 0).sum() + (judged.generated < 0).sum()
    assert float(loss.metrics["correct"]) == float(told) / 2


def test_generator_is_the_discrepancy():
    judged = build()
    loss = generator_loss(judged.real_features, judged.generated_features, CONFIG)
    torch.testing.assert_close(
        loss.total / loss.count, squared_mmd(judged.generated_features, judged.real_features, (1.0, 3.0))
    )
    unbiased = dataclasses.replace(CONFIG, unbiased=True)
    loss = generator_loss(judged.real_features, judged.generated_features, unbiased)
    expected = squared_mmd(judged.generated_features, judged.real_features, (1.0, 3.0), unbiased=True)
    torch.testing.assert_close(loss.total / loss.count, expected)


def test_the_players_pull_the_features_apart_and_together():
    judged = build()
    mine = generator_loss(judged.real_features, judged.generated_features, CONFIG).total
    theirs = discriminator_loss(judged, CONFIG).total
    (up,) = torch.autograd.grad(mine, judged.generated_features)
    (down,) = torch.autograd.grad(theirs, judged.generated_features, retain_graph=True)
    torch.testing.assert_close(down, -0.7 * up)
    assert float(up.abs().max()) > 0
    (codes,) = torch.autograd.grad(theirs, judged.told_codes)
    torch.testing.assert_close(codes, 0.6 * (judged.told_codes - judged.codes))


def test_gradients():
    judged = build()
    parts = [getattr(judged, field.name) for field in dataclasses.fields(judged)]
    assert torch.autograd.gradcheck(lambda *parts: discriminator_loss(Judged(*parts), CONFIG).total, parts)


def test_a_feature_that_separates_the_two_lowers_the_discriminators_loss():
    judged = build()
    apart = dataclasses.replace(judged, generated_features=judged.real_features + 5.0)
    same = dataclasses.replace(judged, generated_features=judged.real_features)
    assert discriminator_loss(apart, CONFIG).total < discriminator_loss(same, CONFIG).total


def test_sure_logits_stay_finite():
    judged = dataclasses.replace(
        build(), real=torch.full((5,), -1e4).double(), generated=torch.full((5,), 1e4).double()
    )
    torch.testing.assert_close(discriminator_loss(judged, CONFIG).metrics["classification"], torch.tensor(1e5).double())


@pytest.mark.parametrize(
    "wrong",
    [
        {"bandwidths": ()},
        {"bandwidths": (1.0, 0.0)},
        {"reconstruction_weight": -1.0},
        {"matching_weight": -0.1},
        {"sharpness": 0.0},
    ],
)
def test_impossible_configurations_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TextGANConfig(**wrong)
