"""A stretch of a text that answers a question: -(log p(start) + log p(end)) / 2 (Devlin et al. 2019, section 4.2)."""

import torch
from torch import nn

from trivium.data.batches import SpanBatch
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read


def span_extraction(model: nn.Module, batch: SpanBatch) -> Loss:
    """Negative log-likelihood (nats) of where the answers begin and end, each counting half, summed over the rows.

    The metric "tokens" counts what was read."""
    output = read(model, batch)
    total = model.span.nll_sum(output.hidden, batch.lengths, batch.starts, batch.ends)
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    tokens = batch.lengths.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"tokens": tokens})
