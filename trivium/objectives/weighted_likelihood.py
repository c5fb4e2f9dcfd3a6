"""-sum_t w_t log p(y_t | y_<t): the likelihood of given texts, each token as it is weighted.

What every policy gradient on texts comes to. The methods differ in where the texts come from and in the weights;
through a weight no gradient goes (`OutputHead.nll_sum`).
"""

from jaxtyping import Float
from torch import Tensor, nn

from trivium.data.batches import CausalBatch


def weighted_nll(model: nn.Module, batch: CausalBatch, weights: Float[Tensor, "B T"]) -> Float[Tensor, ""]:
    """The sum over the tokens of ``batch.mask``, in nats; ``weights`` elsewhere are not read."""
    hidden = model(batch.tokens, lengths=batch.lengths).hidden[batch.mask]
    return model.head.nll_sum(hidden, batch.targets[batch.mask], weights[batch.mask])


def reward_metrics(rewards: Float[Tensor, "N"]) -> dict[str, Float[Tensor, ""]]:
    """Sums for `Loss.metrics`, which tell the mean of the rewards and how much they differ: where they hardly do, there
    is nothing to learn from them."""
    given = rewards.detach()
    return {"reward": given.sum(), "reward_squared": given.square().sum()}
