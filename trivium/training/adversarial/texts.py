"""Texts that a generator writes beside real ones, and where each of them ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch, Seq2SeqBatch
from trivium.generation.ancestral import sample

Real = CausalBatch | Seq2SeqBatch
"""Real texts, one a row; of pairs they are the targets."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts side by side; what stands beyond a length is unspecified."""

    tokens: Int[Tensor, "B T"]
    lengths: Int[Tensor, "B"]
    soft: Float[Tensor, "B T V"] | None = None
    """The tokens as mixtures, where the method writes such: what the discriminator reads then."""
    codes: Float[Tensor, "B Z"] | None = None
    """What each was written from, where there is such."""
    sources: "Texts | None" = None
    """What each was written for, where it was written for another text."""

    @classmethod
    def of(cls, real: Real) -> "Texts":
        """The texts of a batch, with their sources where it has such."""
        sources = cls(real.source, real.source_lengths) if isinstance(real, Seq2SeqBatch) else None
        return cls(real.targets, real.lengths, sources=sources)

    @property
    def read(self) -> Int[Tensor, "B T"] | Float[Tensor, "B T V"]:
        """What a discriminator reads."""
        return self.tokens if self.soft is None else self.soft

    def part(self, start: int, stop: int) -> "Texts":
        """Some of the rows."""
        rows = slice(start, stop)
        soft, codes = (None if each is None else each[rows] for each in (self.soft, self.codes))
        sources = None if self.sources is None else self.sources.part(start, stop)
        return Texts(self.tokens[rows], self.lengths[rows], soft, codes, sources)

    @property
    def unique(self) -> float:
        """The share of texts that are there once, or the first time: 1 / B where all are the same."""
        rows = zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)
        return len({tuple(row[:length]) for row, length in rows}) / len(self.lengths)


def ends(tokens: Int[Tensor, "B T"], real: Real, end_id: int | None) -> Int[Tensor, "B"]:
    """How long written texts are: to the first `end_id`, which counts, or to the last token that there is.

    Where nothing ends a text they are as long as the real ones, so that no length gives them away.
    """
    return real.lengths if end_id is None else ended(tokens, end_id)


def ended(tokens: Int[Tensor, "B T"], end_id: int) -> Int[Tensor, "B"]:
    """The place after the first `end_id` of each row, or after its last token."""
    is_end = tokens == end_id
    return torch.where(is_end.any(1), is_end.int().argmax(1) + 1, tokens.shape[1])


def drawn(generator: nn.Module, real: CausalBatch, end_id: int | None) -> Texts:
    """As many texts as there are real ones, with their starts, from the generator's own distribution.

    Its dropout is off: it learns from the distribution that it samples from.
    """
    generator.eval()
    tokens = sample(generator, real.tokens[:, :1], real.targets.shape[1])
    return Texts(tokens, ends(tokens, real, end_id))


def as_batch(start: Int[Tensor, "B 1"], texts: Texts) -> CausalBatch:
    """For objectives: each token is to be foretold from those before it."""
    tokens = torch.cat([start, texts.tokens[:, :-1]], dim=1)
    mask = torch.arange(tokens.shape[1], device=tokens.device) < texts.lengths[:, None]
    return CausalBatch(tokens=tokens, targets=texts.tokens, mask=mask, lengths=texts.lengths)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, gradients go through the module and none is kept for its own parameters."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
