"""The head of masked language models (Devlin et al. 2019): a hidden layer, a norm, then the vocabulary."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.feedforward import ACTIVATIONS, Activation
from trivium.nn.head import OutputHead
from trivium.nn.linear import Linear


class MaskedHead(nn.Module):
    """norm(act(W h + b)), then an ``OutputHead`` (its calls are ours), so that hidden states stay the last block's.

    ``inner_width`` is the width after W where it is not that of the hidden states: the embedding's, which the output
    may be tied to. Without ``bias`` only the output has one (ModernBERT).
    """

    def __init__(
        self,
        width: int,
        vocabulary_size: int,
        *,
        activation: Activation,
        norm_epsilon: float,
        tied_to: nn.Embedding | None = None,
        inner_width: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        inner_width = inner_width or width
        self.transform = Linear(width, inner_width, bias=bias)
        self.norm = nn.LayerNorm(inner_width, eps=norm_epsilon, bias=bias)
        self.activation = activation
        self.output = OutputHead(inner_width, vocabulary_size, tied_to=tied_to, bias=True)

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
    ) -> Float[Tensor, "..."]:
        """As ``OutputHead.forward``."""
        transformed = self.norm(ACTIVATIONS[self.activation](self.transform(hidden)))
        return self.output(transformed, targets, weights, reduce)

    def logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Unnormalised log-probabilities of every piece."""
        return self(hidden)

    def log_prob(self, hidden: Float[Tensor, "... D"], targets: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
        """log p(target | hidden) in nats."""
        return self(hidden, targets)

    def nll_sum(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."],
        weights: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, ""]:
        """sum_n w_n * -log p(target_n | hidden_n) in nats; ``w`` is 1 where ``weights`` is not given."""
        return self(hidden, targets, weights, reduce=True)
