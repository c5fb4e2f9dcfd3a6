"""Odds ratio preference optimisation (Hong et al. 2024): fine-tuning and preference in one, without a reference.

    L = L_SFT + lambda L_OR,   L_OR = -log sigmoid(log odds(y_w|x) - log odds(y_l|x)),   odds = P / (1 - P) (eq. 6, 7)

P is the geometric mean of the probabilities of an answer's tokens (eq. 1), and L_SFT the negative log-likelihood of a
token of the chosen answer, the mean within each answer first, so that a pair is what is counted. TRL's own
implementation trains on the prompt's tokens too, and takes the mean over all tokens of the batch.
"""

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trivium.objectives.dpo import require_pair_settings
from trivium.objectives.preferred import Compared

_LOG_HALF = -0.6931471805599453


def log_odds(mean_log_prob: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """log P / (1 - P) of a log P below 0; one of 0, which is certainty, counts as the next number below.

    log(1 - exp(x)) loses its digits near 0 in one way of writing it and far from 0 in the other (Maechler 2012).
    """
    below = mean_log_prob.clamp_max(-torch.finfo(mean_log_prob.dtype).eps)
    near = below > _LOG_HALF
    # Both branches get a gradient: each is computed of numbers for which it is finite.
    close = (-torch.expm1(torch.where(near, below, _LOG_HALF))).log()
    far = torch.log1p(-torch.where(near, _LOG_HALF, below).exp())
    return mean_log_prob - torch.where(near, close, far)


def odds_ratio_loss(chosen_mean: Float[Tensor, "B"], rejected_mean: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """L_OR of each pair, from the policy's log-probabilities in nats a token."""
    return -F.logsigmoid(log_odds(chosen_mean) - log_odds(rejected_mean))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ORPO:
    """The loss."""

    beta: float = 0.1
    """lambda, the weight of the odds ratio; 0.1 to 1 in the paper."""
    needs_reference: bool = dataclasses.field(default=False, init=False)

    def __post_init__(self) -> None:
        require_pair_settings(beta=self.beta)

    def __call__(self, compared: Compared) -> Float[Tensor, "B"]:
        """The loss of each pair."""
        chosen, rejected = compared.chosen.means, compared.rejected.means
        return -chosen + self.beta * odds_ratio_loss(chosen, rejected)

    def rewards(self, compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """beta times the mean log-probability of a token."""
        return self.beta * compared.chosen.means, self.beta * compared.rejected.means
