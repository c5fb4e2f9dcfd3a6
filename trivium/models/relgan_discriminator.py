"""The discriminator of RelGAN (Nie, Narodytska and Patel 2019): one text, embedded several times over.

Each of S representations has its own embedding, of one number a token in the paper, and is judged by itself: by one
convolutional network, which all of them share, with windows of several widths, the maximum over time, a highway layer
and two linear layers. So there are S logits for a text, and the loss is a mean over them: a generator cannot please all
by one trick. It reads tokens, or mixtures of tokens: the soft samples of a generator that is to receive a gradient.

As in the authors' program nothing stands between the two linear layers, and the highway layer begins half open.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.nn.convolution import StrongestWindow
from trivium.nn.embedded import embedded
from trivium.nn.highway import Highway
from trivium.nn.initialise import truncated_normal_
from trivium.nn.linear import Linear


@dataclass(frozen=True, kw_only=True)
class RelGANDiscriminatorConfig:
    """Shape of the discriminator; the defaults are the authors'."""

    vocabulary_size: int = 5000
    """Number of pieces V."""
    width: int = 64
    """Width D of the embeddings, all representations together."""
    representations: int = 64
    """Embeddings S of a text that are judged one by one."""
    windows: tuple[int, ...] = (2, 3, 4, 5)
    """Tokens that each kind of filter sees."""
    filters: int = 300
    """Number of filters of each kind."""
    inner_width: int = 100
    """Width between the two linear layers."""
    dropout: float = 0.25
    """Dropout before the linear layers."""

    def __post_init__(self) -> None:
        if self.representations < 1 or self.width % self.representations:
            raise ConfigError(
                "the representations do not divide the width",
                received=f"width {self.width}, representations {self.representations}",
                fix=f"set width to a multiple of {max(1, self.representations)}",
            )
        if not self.windows or min(self.windows) < 1:
            raise ConfigError(
                "the discriminator reads through windows",
                received=f"windows {self.windows}",
                expected="at least one, of at least one token",
            )


class RelGANDiscriminator(nn.Module):
    """Gives a text one logit for each representation: high for a real one."""

    def __init__(self, config: RelGANDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        single, features = config.width // config.representations, config.filters * len(config.windows)
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.blocks = nn.ModuleList(StrongestWindow(single, config.filters, window) for window in config.windows)
        self.highway = Highway(features)
        self.dropout = nn.Dropout(config.dropout)
        self.inner = Linear(features, config.inner_width)
        self.output = Linear(config.inner_width, 1)
        self._initialise()

    def _initialise(self) -> None:
        """As the authors do: a variance of one over what a unit reads, twice that before a rectifier over windows."""
        truncated_normal_(self.embedding.weight, self.config.vocabulary_size**-0.5)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                gain = 2 if isinstance(module, nn.Conv1d) else 1
                truncated_normal_(module.weight, (gain / module.weight[0].numel()) ** 0.5)
                nn.init.zeros_(module.get_parameter("bias"))

    def embed(self, tokens: Int[Tensor, "B T"] | Float[Tensor, "B T V"]) -> Float[Tensor, "B T D"]:
        """Vectors of tokens, or of mixtures of tokens: probabilities over the vocabulary."""
        return tokens @ self.embedding.weight if tokens.is_floating_point() else self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B S"]:
        """A logit for each representation of each text, given as ``tokens`` or as ``embeddings`` (of mixtures of tokens
        too, as ``embed`` makes them); what stands beyond a row's length is not read."""
        x = embedded(self, tokens, embeddings)
        rows, length, _ = x.shape
        count = self.config.representations
        if lengths is None:
            lengths = torch.full((rows,), length, device=x.device)
        valid = torch.arange(length, device=x.device) < lengths[:, None]
        x = torch.where(valid[:, :, None], x, 0.0)
        # Every representation as a row of its own: [B * S, T, D / S].
        apart = x.unflatten(2, (count, -1)).transpose(1, 2).flatten(0, 1)
        each = lengths.repeat_interleave(count)
        features = torch.cat([block(apart, each) for block in self.blocks], dim=-1)
        logits = self.output(self.inner(self.dropout(self.highway(features))))
        return logits.view(rows, count)
