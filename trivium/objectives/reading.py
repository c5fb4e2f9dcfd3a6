"""How a batch of whole texts is read: token types are passed on to the models that know them."""

from torch import nn

from trivium.data.batches import LabelledBatch, SpanBatch, TaggedBatch
from trivium.nn.output import Output


def read(model: nn.Module, batch: LabelledBatch | SpanBatch | TaggedBatch) -> Output:
    """``model`` of the batch's texts. Models without token types do not take the argument, so it is left out where the
    batch has none."""
    types = {} if batch.token_types is None else {"token_types": batch.token_types}
    return model(batch.tokens, lengths=batch.lengths, **types)
