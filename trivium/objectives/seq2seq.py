"""Teacher-forced sequence to sequence: -sum_t log p(y_t | y_<t, x), whatever encodes and decodes."""

from torch import nn

from trivium.data.batches import Seq2SeqBatch
from trivium.objectives.loss import Loss


def seq2seq(model: nn.Module, batch: Seq2SeqBatch) -> Loss:
    """Negative log-likelihood (nats) of ``batch.targets`` where ``batch.mask`` is true, given the source."""
    state = model.encode(batch.source, batch.source_lengths)
    output = model(batch.tokens, lengths=batch.lengths, state=state)
    total = model.head.nll_sum(output.hidden[batch.mask], batch.targets[batch.mask])
    return Loss(total=total, count=batch.mask.sum().to(total.dtype), auxiliary=output.auxiliary)
