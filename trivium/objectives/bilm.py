"""Both directions of a two-direction language model (Peters et al. 2018, section 3.1):

sum_t log p(x_t | x_1 .. x_{t-1}) + log p(x_t | x_{t+1} .. x_N).
"""

import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.nn.state import State
from trivium.objectives.loss import Loss


def bilm(model: nn.Module, batch: CausalBatch, state: State | None = None) -> Loss:
    """Mean over the two directions of the negative log-likelihood (nats), and each of them in ``metrics``.

    Wherever two tokens of a text stand side by side in the batch, the forward half predicts the right one and the
    backward half the left one: as many predictions of each, and e to the power of a metric is that direction's
    perplexity. ``batch.mask`` and the target after a row's last token are of no use to the backward half, and so not
    used. With ``state`` the forward half goes on from it; the backward half always begins at the end of its row.
    """
    if state is not None and batch.continues is not None:
        state = state.keep(batch.continues)
    output = model(batch.tokens, lengths=batch.lengths, segments=batch.segments, state=state, collect=("backward",))
    pairs = torch.arange(1, batch.tokens.shape[1], device=batch.tokens.device) < batch.lengths[:, None]
    if batch.segments is not None:
        pairs = pairs & (batch.segments[:, 1:] == batch.segments[:, :-1]) & (batch.segments[:, 1:] >= 0)
    left, right = batch.tokens[:, :-1][pairs], batch.tokens[:, 1:][pairs]
    forward = model.head.nll_sum(output.hidden[:, :-1][pairs], right)
    backward = model.head.nll_sum(output.collected["backward"][0][:, 1:][pairs], left)
    total = (forward + backward) / 2
    metrics = {"forward": forward.detach(), "backward": backward.detach()}
    return Loss(total, pairs.sum().to(total.dtype), output.auxiliary, metrics, output.state)
