"""A discriminator that is a classifier of texts: real, or generated."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import LabelledBatch
from trivium.models.text_cnn import TextCNN
from trivium.objectives.classification import classification
from trivium.objectives.loss import Loss
from trivium.objectives.seqgan import GENERATED, REAL
from trivium.training.adversarial.texts import Texts

_TEXTS_AT_ONCE, _ROWS_AT_ONCE = 16_384, 1024
"""As many as pay for what a `TextCNN` prepares for them; and as many as a discriminator may hold all features of."""


def told_apart(discriminator: nn.Module, real: Texts, written: Texts) -> Loss:
    """Its cross-entropy on as many real texts as generated ones (Goodfellow et al. 2014, eq. 1)."""
    labels = torch.tensor([REAL, GENERATED], device=real.tokens.device).repeat_interleave(len(real.lengths))
    texts = torch.cat([real.tokens, written.tokens])
    return classification(discriminator, LabelledBatch(texts, torch.cat([real.lengths, written.lengths]), labels))


@torch.no_grad()
def log_odds(discriminator: nn.Module, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """log D / (1 - D) of each text. Its dropout is off: it would be noise in the rewards."""
    discriminator.eval()
    logits = _classified(discriminator, texts, lengths)
    return logits[:, REAL] - logits[:, GENERATED]


def _classified(discriminator: nn.Module, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B 2"]:
    found: list[Tensor] = []
    if isinstance(discriminator, TextCNN):  # roll-outs are tens of thousands of texts, and it knows a shorter way
        for part in zip(texts.split(_TEXTS_AT_ONCE), lengths.split(_TEXTS_AT_ONCE), strict=True):
            features = discriminator.strongest(*part)
            found += [discriminator.classify(rows[:, None]) for rows in features.split(_ROWS_AT_ONCE)]
    else:
        for some, their in zip(texts.split(_ROWS_AT_ONCE), lengths.split(_ROWS_AT_ONCE), strict=True):
            found.append(discriminator.classify(discriminator(some, lengths=their).hidden, their))
    return torch.cat(found)


def realness(discriminator: nn.Module, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
    """D: the probability that a text is real."""
    return torch.sigmoid(log_odds(discriminator, texts, lengths))
