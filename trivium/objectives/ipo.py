"""Identity preference optimisation (Azar et al. 2023): the difference of log-ratios is to be one number, and no more.

    L = (h - 1 / (2 tau))^2,     h = log pi(y_w|x)/pi_ref(y_w|x) - log pi(y_l|x)/pi_ref(y_l|x)                (eq. 17)

DPO's loss falls for as long as the difference grows, and so ends at policies that never write a rejected answer. As in
TRL the log-ratios are means over the tokens of an answer, not sums, which the paper does not say and its authors
confirmed to TRL's: with sums the target of one number would mean another thing for every length.
"""

import dataclasses

from jaxtyping import Float
from torch import Tensor

from trivium.objectives.dpo import require_pair_settings
from trivium.objectives.preferred import Compared


def ipo_loss(
    chosen_ratio: Float[Tensor, "B"], rejected_ratio: Float[Tensor, "B"], *, beta: float
) -> Float[Tensor, "B"]:
    """The loss of each pair, from log-ratios of policy to reference in nats a token; ``beta`` is tau."""
    return (chosen_ratio - rejected_ratio - 1 / (2 * beta)).square()


@dataclasses.dataclass(frozen=True, kw_only=True)
class IPO:
    """The loss."""

    beta: float = 0.1
    """tau: the difference a token that is aimed at is 1 / (2 beta) nats."""
    needs_reference: bool = dataclasses.field(default=True, init=False)

    def __post_init__(self) -> None:
        require_pair_settings(beta=self.beta)

    def __call__(self, compared: Compared) -> Float[Tensor, "B"]:
        """The loss of each pair."""
        return ipo_loss(*_ratios(compared), beta=self.beta)

    def rewards(self, compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """beta times the mean log-ratio of a token."""
        chosen, rejected = _ratios(compared)
        return self.beta * chosen, self.beta * rejected


def _ratios(compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    return compared.chosen_ratio / compared.chosen.tokens, compared.rejected_ratio / compared.rejected.tokens
