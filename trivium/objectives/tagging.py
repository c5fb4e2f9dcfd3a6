"""One tag for each word of a text: -log p(tags | text)."""

from torch import nn

from trivium.data.batches import TaggedBatch
from trivium.objectives.loss import Loss
from trivium.objectives.reading import read


def tagging(model: nn.Module, batch: TaggedBatch) -> Loss:
    """Negative log-likelihood (nats) of the tags of each text, counted by words: those of a CRF are judged together.

    The metric "tokens" counts the pieces that were read."""
    output = read(model, batch)
    total = model.tag.nll_sum(output.hidden, batch.words, batch.word_lengths, batch.tags)
    count = batch.word_lengths.sum().to(total.dtype)
    tokens = batch.lengths.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics={"tokens": tokens})
