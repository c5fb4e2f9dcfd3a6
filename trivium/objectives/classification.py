"""One label for a text: -log p(label | text)."""

import torch
import torch.nn.functional as F
from torch import nn

from trivium.data.batches import LabelledBatch
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read


def classification(model: nn.Module, batch: LabelledBatch) -> Loss:
    """Cross-entropy (nats) of the labels; the metric ``correct`` counts the rows whose likeliest class is theirs,
    "tokens" what was read."""
    output = read(model, batch)
    logits = model.classify(output.hidden, batch.lengths)
    total = F.cross_entropy(logits, batch.labels, reduction="sum")
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    tokens = batch.lengths.sum().to(total.dtype)
    correct = (logits.argmax(-1) == batch.labels).sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"correct": correct, "tokens": tokens})
