"""Texts that belong together are to be near, and far from all others of the batch.

-log ( exp(cos(a_i, b_i) / t) / sum_j exp(cos(a_i, b_j) / t) )         (Gao et al. 2021, SimCSE, equations 1 and 4)

Unsupervised, both sides are one text, read twice under different dropout; supervised, b_i is what was paired with a_i
(Henderson et al. 2017, section 4.4, "multiple negatives"), and hard negatives stand beside the b_j (equation 5).

The other rows of the batch are the negatives, so the loss of a row depends on the batch it stands in. A batch that was
cut, by gradient accumulation or among processes, would train on another and easier problem: it is refused.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.data.batches import ContrastiveBatch, Texts
from trivium.errors import ConfigError
from trivium.nn.classification_head import Pooling, pool
from trivium.nn.output import Output
from trivium.objectives.loss import Loss


def contrastive(
    model: nn.Module,
    batch: ContrastiveBatch,
    *,
    temperature: float = 0.05,
    pooling: Pooling = "mean",
    symmetric: bool = False,
) -> Loss:
    """Negative log-likelihood (nats) of the right partner of each row among all of the batch, summed over the rows.

    ``pooling`` makes one vector of a text's last hidden states. ``symmetric``: the mean of both directions, the first
    side found from the second too (Radford et al. 2021, figure 3); hard negatives count in the one direction only. The
    metric "correct" counts the rows whose nearest is theirs, "tokens" what was read.

    Raises:
        ConfigError: the batch is a part of another, or the temperature is not above 0.
    """
    _require_whole(batch)
    if not temperature > 0:
        raise ConfigError("the temperature must be above 0", received=temperature, fix="0.05 is usual")
    sides = [batch.first, batch.second] if batch.negatives is None else [batch.first, batch.second, batch.negatives]
    output, texts = _read(model, sides)
    pooled = pool(output.hidden, texts.lengths, pooling)
    vectors = F.normalize(pooled.to(torch.promote_types(pooled.dtype, torch.float32)), dim=-1)
    first, candidates = vectors[: batch.rows], vectors[batch.rows :]
    with torch.autocast(vectors.device.type, enabled=False):  # a cosine of two digits, over a temperature of 0.05
        similarities: Float[Tensor, "B M"] = first @ candidates.T / temperature
    partners = torch.arange(batch.rows, device=vectors.device)
    total = F.cross_entropy(similarities, partners, reduction="sum")
    if symmetric:
        backwards = F.cross_entropy(similarities[:, : batch.rows].T, partners, reduction="sum")
        total = (total + backwards) / 2
    correct = (similarities.argmax(-1) == partners).sum().to(total.dtype)
    metrics = {"correct": correct, "tokens": texts.lengths.sum().to(total.dtype)}
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics=metrics)


def _require_whole(batch: ContrastiveBatch) -> None:
    whole = int(batch.whole[0])
    if batch.rows != whole:
        raise ConfigError(
            "texts are told from the others of their batch, which cannot be cut",
            received=f"{batch.rows} of {whole} rows",
            fix="train with one micro-batch in one process; if memory is short, give fewer rows",
        )


def _read(model: nn.Module, sides: list[Texts]) -> tuple[Output, Texts]:
    """All sides in one pass, one below the other: each row has dropout of its own."""
    width = max(side.tokens.shape[1] for side in sides)
    tokens = torch.cat([F.pad(side.tokens, (0, width - side.tokens.shape[1])) for side in sides])
    texts = Texts(tokens=tokens, lengths=torch.cat([side.lengths for side in sides]))
    return model(texts.tokens, lengths=texts.lengths), texts
