"""ColdGANs: texts near the generator's modes, weighed as if they were its own (Scialom et al. 2020)."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.nn.inverse_cdf import draw
from trivium.objectives.coldgan import ColdConfig, behaviour, coldgan, importance_weights, log_ratios
from trivium.objectives.loss import Loss
from trivium.training.adversarial.replay import Replay
from trivium.training.adversarial.texts import Texts, as_batch, ends
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
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in: less memory, the same update."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._split = config, end_id, parts
        self._replay = Replay(config.replayed_texts, config.longest_replayed)

    def modules(self) -> dict[str, nn.Module]:
        return {"replay": self._replay}

    def sampled(self, real: CausalBatch, step: int) -> Texts:
        return self._replay.mixed(self._cold(real))

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        return told_apart(self.discriminator, real, written)

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        texts = self._cold(real)
        rewards = realness(self.discriminator, texts.tokens, texts.lengths)
        first = 0
        for part in as_batch(real.tokens[:, :1], texts).split(self._split):
            weights = importance_weights(self._ratios(part), self._config.clip)
            yield coldgan(self.generator, part, rewards[first : first + part.rows], weights)
            first += part.rows

    @torch.no_grad()
    def _ratios(self, batch: CausalBatch) -> Float[Tensor, "B T"]:
        logits = self.generator.head.logits(self.generator(batch.tokens, lengths=batch.lengths).hidden)
        return log_ratios(logits, batch.targets, batch.lengths, self._config)

    @torch.no_grad()
    def _cold(self, real: CausalBatch) -> Texts:
        """As many texts as there are real ones, from the behaviour policy."""
        self.generator.eval()
        device = real.tokens.device
        explores = torch.rand(real.rows, device=device) < self._config.epsilon
        tokens = _behaved(self.generator, real.tokens[:, :1], real.targets.shape[1], explores, self._config)
        return Texts(tokens, ends(tokens, real, self._end_id))

    def ended(self) -> None:
        """Nothing lags."""


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
