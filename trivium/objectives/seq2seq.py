"""Teacher-forced sequence to sequence: -sum_t log p(y_t | y_<t, x), whatever encodes and decodes."""

from torch import nn

from trivium.data.batches import Seq2SeqBatch
from trivium.errors import ConfigError
from trivium.objectives.loss import Loss


def seq2seq(model: nn.Module, batch: Seq2SeqBatch, *, label_smoothing: float = 0.0) -> Loss:
    """Negative log-likelihood (nats) of ``batch.targets`` where ``batch.mask`` is true, given the source.

    While the model trains, ``label_smoothing`` of each target's probability is spread evenly over the vocabulary
    (Szegedy et al. 2016, section 7; 0.1 in Vaswani et al. 2017, section 5.4), and the metric "nll" is the plain loss.
    Like dropout it is off in evaluation: a validation loss is comparable, and its exponential a perplexity. Raises
    ``ConfigError`` for a share outside [0, 1).
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ConfigError("label_smoothing is a share", received=label_smoothing, expected="at least 0 and below 1")
    state = model.encode(batch.source, batch.source_lengths)
    output = model(batch.tokens, lengths=batch.lengths, state=state)
    hidden, targets = output.hidden[batch.mask], batch.targets[batch.mask]
    if label_smoothing and model.training:
        total, plain = model.head.smoothed_nll_sum(hidden, targets, label_smoothing)
        metrics = {"nll": plain}
    else:
        total, metrics = model.head.nll_sum(hidden, targets), {}
    count = batch.mask.sum().to(total.dtype)
    return Loss(total=total, count=count, auxiliary=output.auxiliary, metrics=metrics)
