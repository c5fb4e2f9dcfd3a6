"""TextGAN: a generator that matches what the discriminator sees, not what it says (Zhang et al. 2017).

    L_G = L_MMD^2                                                              minimised        (eq. 4)
    L_D = L_GAN - lambda_r L_recon + lambda_m L_MMD^2                          maximised        (eq. 3)
    L_GAN = E log D(real) + E log(1 - D(generated))        L_recon = |z_hat - z|^2

with MMD between the discriminator's features of real and of generated texts. The discriminator is to find features in
which the two *differ*: its MMD enters with the sign opposite to the generator's. (One port has it minimise too; both
then make the features say nothing.) It is also to tell from the text the code z that it was written from, so that
different codes make different texts.

MMD is of a whole sample: in parts of a batch it is another quantity. So a batch is not to be cut.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.errors import ConfigError
from trivium.objectives import relgan
from trivium.objectives.loss import Loss
from trivium.objectives.mmd import squared_mmd


@dataclass(frozen=True, kw_only=True)
class TextGANConfig:
    """Weights of the parts, and the kernels."""

    bandwidths: tuple[float, ...] = (2.0,)
    """Standard deviations of the kernels, whose sum is taken; that of the authors' code."""
    unbiased: bool = False
    """Pairs of a text with itself are left out of MMD."""
    reconstruction_weight: float = 1.0
    """lambda_r."""
    matching_weight: float = 1.0
    """lambda_m."""
    sharpness: float = 1000.0
    """L of the soft-argmax that the generator writes by (`trivium.nn.soft_tokens`)."""

    def __post_init__(self) -> None:
        if not self.bandwidths or min(self.bandwidths) <= 0:
            raise ConfigError("bandwidths are above 0, and at least one", received=self.bandwidths)
        for name in ("reconstruction_weight", "matching_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative", received=getattr(self, name))
        if self.sharpness <= 0:
            raise ConfigError("sharpness must be above 0", received=self.sharpness)


def generator_loss(
    real_features: Float[Tensor, "B F"], generated_features: Float[Tensor, "B F"], config: TextGANConfig
) -> Loss:
    """MMD^2 of the features, times the number of texts it is counted by."""
    discrepancy = squared_mmd(generated_features, real_features, config.bandwidths, unbiased=config.unbiased)
    rows = float(len(real_features))
    return Loss(total=rows * discrepancy, count=discrepancy.new_tensor(rows))


@dataclass(frozen=True)
class Judged:
    """What the discriminator makes of as many real texts as generated ones."""

    real: Float[Tensor, "B"]
    """Logits: log D / (1 - D) of the real texts."""
    generated: Float[Tensor, "B"]
    """Those of the generated."""
    real_features: Float[Tensor, "B F"]
    """What it saw in the real texts."""
    generated_features: Float[Tensor, "B F"]
    """What it saw in the generated."""
    codes: Float[Tensor, "B Z"]
    """z: what each text was generated from."""
    told_codes: Float[Tensor, "B Z"]
    """z_hat: what the discriminator takes it to have been."""


def discriminator_loss(judged: Judged, config: TextGANConfig) -> Loss:
    """-L_D, a sum over the pairs of texts it is counted by: to be minimised as everything is.

    Metrics, a pair each: "classification" (-L_GAN), "reconstruction" (L_recon), "discrepancy" (L_MMD^2), unweighted,
    and "correct": of the two texts of a pair, how many are told rightly, by 2.
    """
    rows = float(len(judged.real))
    classification = relgan.discriminator_loss("standard", judged.real, judged.generated).sum()
    reconstruction = (judged.told_codes - judged.codes).square().sum()
    features = (judged.generated_features, judged.real_features)
    discrepancy = rows * squared_mmd(*features, config.bandwidths, unbiased=config.unbiased)
    parts = {"classification": classification, "reconstruction": reconstruction, "discrepancy": discrepancy}
    total = classification + config.reconstruction_weight * reconstruction - config.matching_weight * discrepancy
    metrics = {name: part.detach() for name, part in parts.items()}
    metrics["correct"] = torch.cat([judged.real > 0, judged.generated < 0]).sum().to(total.dtype) / 2
    return Loss(total=total, count=total.new_tensor(rows), metrics=metrics)
