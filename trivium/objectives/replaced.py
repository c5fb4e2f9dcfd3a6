"""Replaced-token detection (Clark et al. 2020, section 2): a generator fills what was masked, and a discriminator says
of every token whether it is the one that stood there.

    min_{G, D}  sum_x  L_MLM(x, G) + weight * L_Disc(x, D)

L_MLM is a mean over the masked tokens and L_Disc one over all tokens: two counts, and a ``Loss`` has one, by which the
whole window of micro-batches and processes is divided at the end. A quotient of the two counts that every micro-batch
worked out for itself would weigh the parts of a batch otherwise than the batch. So it is a constant, the share of the
tokens that batches mask:

    (sum of L_MLM / masked_share  +  weight * sum of L_Disc) / (number of tokens)

This is linear in the rows: accumulated and sharded sums are those of the whole batch. L_Disc is divided by its true
count, L_MLM by the count to be expected. `trivium.objectives.masked.mask_row` chooses that share of a row to within one
token, special tokens aside. The published code takes both means on each accelerator by itself.

No gradient goes through what was drawn: the generator is trained by its likelihood alone (section 2).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import MaskedBatch
from trivium.errors import ConfigError
from trivium.nn.head import CHUNK_ROWS
from trivium.nn.inverse_cdf import draw
from trivium.objectives.loss import Loss


def replaced_token_detection(
    model: nn.Module, batch: MaskedBatch, *, weight: float = 50.0, masked_share: float = 0.15
) -> Loss:
    """Both losses in nats, counted by the valid tokens of ``batch``, whose ``targets`` are valid ids everywhere.

    ``model`` is a `trivium.models.electra_pair.ElectraPair`: it is called with ``part="generator"`` and with
    ``part="discriminator"``. ``weight`` is the published lambda; ``masked_share`` how much of the tokens the batches
    mask, on average. What is drawn comes from torch's own chance while the model trains, and is the same at every
    evaluation. A token drawn right counts as original.

    Metrics, a token each: "generator" (its loss), "discriminator" (its loss, unweighted), "told" (the share of tokens
    that the discriminator judges rightly), "replaced" (the share that was replaced). ``ConfigError`` for a share or a
    weight that is none.
    """
    if not 0.0 < masked_share <= 1.0:
        raise ConfigError("masked_share is a share", received=masked_share, expected="above 0, at most 1")
    if not 0.0 <= weight < float("inf"):
        raise ConfigError("weight must be a finite number of at least 0", received=weight)
    guessed = model(batch.tokens, lengths=batch.lengths, part="generator")
    hidden, head = guessed.hidden[batch.mask], model.get_submodule("generator.head")
    generator_loss = head.nll_sum(hidden, batch.targets[batch.mask]) / masked_share
    tokens = batch.targets.masked_scatter(batch.mask, _drawn(head, hidden, training=model.training))
    judged = model(tokens, lengths=batch.lengths, part="discriminator")
    valid = torch.arange(tokens.shape[1], device=tokens.device) < batch.lengths[:, None]
    replaced = (tokens != batch.targets)[valid]
    scores = model.discriminator.replaced(judged.hidden)[valid]
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # they are summed over thousands of tokens
    discriminator_loss = F.binary_cross_entropy_with_logits(scores, replaced.to(scores.dtype), reduction="sum")
    total = generator_loss + weight * discriminator_loss
    metrics = {
        "generator": generator_loss.detach(),
        "discriminator": discriminator_loss.detach(),
        "told": _sum((scores > 0) == replaced, total),
        "replaced": _sum(replaced, total),
    }
    return Loss(total=total, count=_sum(valid, total), metrics=metrics)


def _sum(truths: Bool[Tensor, "..."], like: Tensor) -> Float[Tensor, ""]:
    return truths.sum().to(like.dtype)


@torch.no_grad()
def _drawn(head: nn.Module, hidden: Float[Tensor, "N D"], *, training: bool) -> Int[Tensor, "N"]:
    """A token for every masked position from the generator's distribution; never all logits at once."""
    chance = None if training else torch.Generator(hidden.device).manual_seed(0)  # evaluations are comparable
    chances = torch.rand(hidden.shape[0], generator=chance, device=hidden.device)
    chunks = zip(hidden.split(CHUNK_ROWS), chances.split(CHUNK_ROWS), strict=True)
    return torch.cat([draw(head.logits(rows), each) for rows, each in chunks])
