"""Simple preference optimisation (Meng et al. 2024): the reward is the likelihood of a token, without a reference.

    L = -log sigmoid(beta / |y_w| log pi(y_w|x) - beta / |y_l| log pi(y_l|x) - gamma)                          (eq. 6)

The reward is what decoding goes by, and a longer answer is worth no more; gamma is by how much the better one must be
ahead.
"""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from trivium.objectives.dpo import require_pair_settings, smoothed_choice
from trivium.objectives.preferred import Compared


def simpo_loss(
    chosen_mean: Float[Tensor, "B"],
    rejected_mean: Float[Tensor, "B"],
    *,
    beta: float,
    gamma: float,
    label_smoothing: float = 0.0,
) -> Float[Tensor, "B"]:
    """The loss of each pair, from the policy's log-probabilities in nats a token."""
    return smoothed_choice(beta * (chosen_mean - rejected_mean) - gamma, label_smoothing)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimPO:
    """The loss."""

    beta: float = 2.0
    """Of the reward; 2 to 2.5 in the paper."""
    gamma: float = 1.0
    """The margin that is aimed at, in rewards; 0.5 to 1.6 in the paper."""
    label_smoothing: float = 0.0
    """Share of the pairs that stand the wrong way round, as is believed; 0 in the paper."""
    needs_reference: bool = dataclasses.field(default=False, init=False)

    def __post_init__(self) -> None:
        require_pair_settings(beta=self.beta, label_smoothing=self.label_smoothing, gamma=self.gamma)

    def __call__(self, compared: Compared) -> Float[Tensor, "B"]:
        """The loss of each pair."""
        return simpo_loss(
            compared.chosen.means,
            compared.rejected.means,
            beta=self.beta,
            gamma=self.gamma,
            label_smoothing=self.label_smoothing,
        )

    def rewards(self, compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """beta times the mean log-probability of a token (eq. 4)."""
        return self.beta * compared.chosen.means, self.beta * compared.rejected.means
