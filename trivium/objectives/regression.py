"""Numbers for a text: the squared distance between what is estimated and what is so."""

import torch
import torch.nn.functional as F
from torch import nn

from trivium.data.batches import LabelledBatch
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read


def regression(model: nn.Module, batch: LabelledBatch) -> Loss:
    """Squared error of ``batch.labels`` ([B], or [B, N] for N numbers a text) summed over the rows.

    Of N numbers the mean counts, so that the total divided by the count is the mean squared error that `transformers`
    gives for ``problem_type`` "regression". The metric "tokens" counts what was read.
    """
    output = read(model, batch)
    estimates = model.classify(output.hidden, batch.lengths)
    estimates = estimates.to(torch.promote_types(estimates.dtype, torch.float32))  # of a label bf16 keeps two digits
    labels = batch.labels.reshape(batch.rows, -1).to(estimates.dtype)
    assert labels.shape == estimates.shape, f"{labels.shape[1]} numbers a text, and a head of {estimates.shape[1]}"
    total = F.mse_loss(estimates, labels, reduction="sum") / labels.shape[1]
    count = torch.tensor(float(batch.rows), dtype=total.dtype, device=total.device)
    tokens = batch.lengths.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"tokens": tokens})
