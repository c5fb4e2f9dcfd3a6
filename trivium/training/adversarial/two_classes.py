"""A discriminator that is a classifier of texts: real, or generated."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch, LabelledBatch
from trivium.models.text_cnn import TextCNN
from trivium.objectives.classification import classification
from trivium.objectives.loss import Loss
from trivium.objectives.seqgan import GENERATED, REAL
from trivium.training.adversarial.texts import Texts


def told_apart(discriminator: nn.Module, real: CausalBatch, written: Texts) -> Loss:
    """Its cross-entropy on as many real texts as generated ones (Goodfellow et al. 2014, eq. 1)."""
    labels = torch.tensor([REAL, GENERATED], device=real.targets.device).repeat_interleave(real.rows)
    texts = torch.cat([real.targets, written.tokens])
    return classification(discriminator, LabelledBatch(texts, torch.cat([real.lengths, written.lengths]), labels))


@torch.no_grad()
def log_odds(discriminator: nn.Module, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """log D / (1 - D) of each text. Its dropout is off: it would be noise in the rewards."""
    discriminator.eval()
    if isinstance(discriminator, TextCNN):  # roll-outs are hundreds of thousands of texts, and it knows a shorter way
        logits = discriminator.classify(discriminator.strongest(texts, lengths)[:, None])
    else:
        logits = discriminator.classify(discriminator(texts, lengths=lengths).hidden, lengths)
    return logits[:, REAL] - logits[:, GENERATED]


def realness(discriminator: nn.Module, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """D: the probability that a text is real."""
    return torch.sigmoid(log_odds(discriminator, texts, lengths))
