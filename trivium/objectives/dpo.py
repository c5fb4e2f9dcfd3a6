"""Direct preference optimisation (Rafailov et al. 2023): the reward model is the policy itself.

    L = -log sigmoid(beta * (log pi(y_w|x)/pi_ref(y_w|x) - log pi(y_l|x)/pi_ref(y_l|x)))                       (eq. 7)

The log-probabilities are sums over an answer's tokens, not means. What may be added: smoothed labels, where some pairs
stand the wrong way round (Mitchell 2023, "A note on DPO with noisy preferences", eq. 3, cDPO); the likelihood of the
chosen answer, which DPO alone lets fall (Pang et al. 2024, eq. 1, RPO); an offset, by which what was liked much better
must be ahead by more (Amini et al. 2024, eq. 8, ODPO, with the margin itself for its f).
"""

import dataclasses
import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from trivium.errors import ConfigError
from trivium.objectives.preferred import Compared


def dpo_loss(
    chosen_ratio: Float[Tensor, "B"],
    rejected_ratio: Float[Tensor, "B"],
    *,
    beta: float,
    label_smoothing: float = 0.0,
    offset: Float[Tensor, "B"] | float = 0.0,
) -> Float[Tensor, "B"]:
    """The loss of each pair, from the log-ratios of policy to reference in nats an answer."""
    ahead = beta * (chosen_ratio - rejected_ratio) - offset
    return smoothed_choice(ahead, label_smoothing)


def smoothed_choice(ahead: Float[Tensor, "B"], label_smoothing: float) -> Float[Tensor, "B"]:
    """-(1 - e) log sigmoid(ahead) - e log sigmoid(-ahead)."""
    loss = -F.logsigmoid(ahead)
    # The two logarithms differ by what is ahead.
    return loss if not label_smoothing else loss + label_smoothing * ahead


def require_pair_settings(*, beta: float, label_smoothing: float = 0.0, **not_negative: float) -> None:
    """Raises `ConfigError` for settings that no loss of pairs has."""
    if not 0 < beta < math.inf:  # NaN fails every comparison
        raise ConfigError("beta must be a finite number above 0", received=beta, fix="0.1 is usual")
    if not 0 <= label_smoothing < 0.5:
        raise ConfigError(
            "label_smoothing must be at least 0 and below 0.5, at which pairs say nothing", received=label_smoothing
        )
    for name, value in not_negative.items():
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name} must be a finite number of at least 0", received=value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPO:
    """The loss with what may be added to it."""

    beta: float = 0.1
    """Of the implicit reward: the higher, the nearer the policy stays to its reference."""
    label_smoothing: float = 0.0
    """Share of the pairs that stand the wrong way round, as is believed."""
    nll_weight: float = 0.0
    """Weight of the negative log-likelihood a token of the chosen answer."""
    margin_weight: float = 0.0
    """Of the margin of a pair, as an offset of the difference of rewards."""
    needs_reference: bool = dataclasses.field(default=True, init=False)

    def __post_init__(self) -> None:
        require_pair_settings(
            beta=self.beta,
            label_smoothing=self.label_smoothing,
            nll_weight=self.nll_weight,
            margin_weight=self.margin_weight,
        )

    def __call__(self, compared: Compared) -> Float[Tensor, "B"]:
        """The loss of each pair."""
        loss = dpo_loss(
            compared.chosen_ratio,
            compared.rejected_ratio,
            beta=self.beta,
            label_smoothing=self.label_smoothing,
            offset=self.margin_weight * compared.margins,
        )
        return loss - self.nll_weight * compared.chosen.means if self.nll_weight else loss

    def rewards(self, compared: Compared) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """beta log pi / pi_ref, without the part that all answers to a prompt share (eq. 5)."""
        return self.beta * compared.chosen_ratio, self.beta * compared.rejected_ratio
