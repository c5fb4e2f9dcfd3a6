"""Texts that are written for other texts: an encoder-decoder over its sources, and what a discriminator reads then."""

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import Seq2SeqBatch
from trivium.errors import ConfigError
from trivium.nn.head import OutputHead
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.objectives.seq2seq import seq2seq
from trivium.training.adversarial.texts import Real, Texts


class Conditioned(nn.Module):
    """An encoder-decoder with its sources bound: to whoever samples from it or learns its texts, a decoder.

    Row b goes on from source b. What it was built for is a moment: it has no weights but those of the encoder-decoder,
    and the sources are read anew whenever a text begins, so that gradients reach the encoder too.
    """

    def __init__(self, model: nn.Module, sources: Texts) -> None:
        super().__init__()
        self.model: Any = model
        self._sources = sources

    @property
    def head(self) -> OutputHead:
        """The encoder-decoder's own."""
        return self.model.head

    def new_state(self, rows: int, capacity: int) -> State:
        """The sources, read, with room for ``capacity`` tokens of the texts."""
        assert rows == len(self._sources.lengths), "a text for each source"
        return self.model.encode(self._sources.tokens, self._sources.lengths, capacity=capacity)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """As of the model contract; without a ``state`` whole texts are given, over all sources."""
        if state is None:
            state = self.new_state(len(self._sources.lengths), 0)
        return self.model(tokens, embeddings=embeddings, lengths=lengths, state=state, collect=collect)


def writer(generator: nn.Module, sources: Texts | None) -> nn.Module:
    """The generator as a decoder of the texts for ``sources``; itself where it reads none."""
    return generator if sources is None else Conditioned(generator, sources)


def likelihood(generator: nn.Module, real: Real) -> Loss:
    """Negative log-likelihood (nats) of real texts, for their sources where they have such."""
    return seq2seq(generator, real) if isinstance(real, Seq2SeqBatch) else causal(generator, real)


def joined(texts: Texts, separator_id: int | None) -> Texts:
    """What a discriminator reads: each source, ``separator_id`` and the text as one row; texts without sources as they
    are.

    A text begins where its source ends, so that no padding stands between them. Raises `ConfigError` where there are
    sources and no ``separator_id``.
    """
    sources = texts.sources
    if sources is None:
        return texts
    if separator_id is None:
        raise ConfigError(
            "a discriminator reads a source and its text as one, with a token between them",
            received="separator_id None",
            fix="give the game a separator_id: an id that stands in neither",
        )
    wide = F.pad(sources.tokens, (0, 1 + texts.tokens.shape[1]))
    ends = sources.lengths[:, None]
    places = ends + 1 + torch.arange(texts.tokens.shape[1], device=wide.device)
    tokens = wide.scatter(1, ends, separator_id).scatter(1, places, texts.tokens)
    return Texts(tokens, sources.lengths + 1 + texts.lengths)
