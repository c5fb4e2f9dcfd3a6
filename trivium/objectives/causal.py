"""Next-token prediction: -sum_t log p(x_t | x_<t), for every model that reads left to right."""

from torch import nn

from trivium.data.batches import CausalBatch
from trivium.nn.state import State
from trivium.objectives.loss import Loss


def causal(model: nn.Module, batch: CausalBatch, state: State | None = None) -> Loss:
    """Negative log-likelihood (nats) of ``batch.targets`` where ``batch.mask`` is true.

    A recurrent model and a Transformer take the same batch. With ``state`` (truncated
    back-propagation) rows with ``batch.continues`` go on from it and the others start afresh.
    """
    if state is not None and batch.continues is not None:
        state = state.keep(batch.continues)
    output = model(batch.tokens, lengths=batch.lengths, segments=batch.segments, state=state)
    total = model.head.nll_sum(output.hidden[batch.mask], batch.targets[batch.mask])
    count = batch.mask.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, state=output.state)
