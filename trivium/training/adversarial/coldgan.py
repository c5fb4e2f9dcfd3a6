"""ColdGANs: texts near the generator's modes, weighed as if they were its own (Scialom et al. 2020).

The generator may be an encoder-decoder, as the authors' is: then it plays on pairs, a text is written for a source, and
the discriminator judges both sides together.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.nn.inverse_cdf import draw
from trivium.objectives.coldgan import ColdConfig, behaviour, coldgan, importance_weights, log_ratios
from trivium.objectives.loss import Loss
from trivium.training.adversarial.conditioned import joined, writer
from trivium.training.adversarial.replay import Replay
from trivium.training.adversarial.texts import Real, Texts, as_batch, ends
from trivium.training.adversarial.two_classes import realness, told_apart


class ColdGAN:
    """A `Game`. The discriminator classifies texts in the two classes of `objectives.seqgan`, and learns from cold
    texts: those are what it judges."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: ColdConfig,
        *,
        end_id: int | None = None,
        separator_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in: less memory, the same update. An encoder-decoder
        needs `separator_id`, which stands between a source and its text before the discriminator."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._separator_id, self._split = config, end_id, separator_id, parts
        replay = Replay(config.replayed_texts, config.longest_replayed, sources=separator_id is not None)
        self._replay = replay.to(next(generator.parameters()).device)

    def modules(self) -> dict[str, nn.Module]:
        return {"replay": self._replay}

    def sampled(self, real: Real, step: int) -> Texts:
        return self._replay.mixed(self._cold(real))

    def against(self, real: Real, written: Texts) -> Loss:
        return told_apart(self.discriminator, self._read(Texts.of(real)), self._read(written))

    def written(self, real: Real, step: int) -> Iterator[Loss]:
        texts = self._cold(real)
        read = self._read(texts)
        rewards = realness(self.discriminator, read.tokens, read.lengths)
        first = 0
        for part in as_batch(real.tokens[:, :1], texts).split(self._split):
            last = first + part.rows
            own = writer(self.generator, texts.part(first, last).sources)
            weights = importance_weights(_ratios(own, part, self._config), self._config.clip)
            yield coldgan(own, part, rewards[first:last], weights)
            first = last

    def _read(self, texts: Texts) -> Texts:
        """As the discriminator reads them."""
        return joined(texts, self._separator_id)

    @torch.no_grad()
    def _cold(self, real: Real) -> Texts:
        """As many texts as there are real ones, for their sources where they have such, from the behaviour policy."""
        self.generator.eval()
        explores = torch.rand(real.rows, device=real.tokens.device) < self._config.epsilon
        sources = Texts.of(real).sources
        own = writer(self.generator, sources)
        tokens = _behaved(own, real.tokens[:, :1], real.targets.shape[1], explores, self._config)
        return Texts(tokens, ends(tokens, real, self._end_id), sources=sources)

    def ended(self) -> None:
        """Nothing lags."""


@torch.no_grad()
def _ratios(model: nn.Module, batch: CausalBatch, config: ColdConfig) -> Float[Tensor, "B T"]:
    logits = model.head.logits(model(batch.tokens, lengths=batch.lengths).hidden)
    return log_ratios(logits, batch.targets, batch.lengths, config)


def _behaved(
    model: nn.Module, start: Int[Tensor, "B 1"], length: int, explores: Bool[Tensor, "B"], config: ColdConfig
) -> Int[Tensor, "B T"]:
    last, state = start, model.new_state(start.shape[0], length)
    tokens: list[Tensor] = []
    for _ in range(length):
        output = model(last, state=state)
        chances = behaviour(model.head.logits(output.hidden[:, -1]), explores, config)
        tokens.append(draw(chances, torch.rand(chances.shape[0], dtype=chances.dtype, device=chances.device)))
        last, state = tokens[-1][:, None], output.state
    return torch.stack(tokens, dim=1)
