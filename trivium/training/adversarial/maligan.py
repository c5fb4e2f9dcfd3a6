"""MaliGAN: texts count by how real they look beside one another (Che et al. 2017, algorithm 2)."""

from collections.abc import Iterator

import torch
from torch import nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.generation.ancestral import sample
from trivium.objectives.loss import Loss
from trivium.objectives.maligan import MaliGANConfig, maligan, relative_weights, token_weights
from trivium.training.adversarial.texts import Texts, as_batch, drawn, ends
from trivium.training.adversarial.two_classes import log_odds, told_apart


class MaliGAN:
    """A `Game`. The discriminator classifies texts in the two classes of `objectives.seqgan`."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: MaliGANConfig,
        *,
        end_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in: less memory, the same update."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._split = config, end_id, parts

    def modules(self) -> dict[str, nn.Module]:
        return {}

    def sampled(self, real: CausalBatch, step: int) -> Texts:
        return drawn(self.generator, real, self._end_id)

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        return told_apart(self.discriminator, Texts.of(real), written)

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        forced = self._config.forced(step, real.targets.shape[1])
        start, texts = real.tokens[:, :1], self._continued(real, forced)
        logits = log_odds(self.discriminator, texts.tokens, texts.lengths)
        compared = self._config.continuations if forced else None
        baseline = self._config.baseline(step)
        weights = relative_weights(logits, baseline, compared)
        each = token_weights(weights, texts.lengths, forced, texts.tokens.shape[1])
        first = 0
        for part in as_batch(start, texts).split(self._split):
            last = first + part.rows
            loss = maligan(self.generator, part, each[first:last])
            # Their mean is 1 - b whatever the texts are: how much they differ is all that there is to tell.
            loss.metrics["reward_squared"] = (weights[first:last] - (1 - baseline)).square().sum()
            yield loss
            first = last

    def _continued(self, real: CausalBatch, forced: int) -> Texts:
        """Texts whose first `forced` tokens are those of real ones, several from each beginning."""
        if not forced:
            return drawn(self.generator, real, self._end_id)
        each = self._config.continuations
        if real.rows % each:
            raise ConfigError(
                "the texts of an update are not a multiple of the continuations of a beginning",
                received=f"{real.rows} texts, {each} continuations",
                fix=f"set rows to a multiple of {each}",
            )
        rows = torch.arange(real.rows // each, device=real.tokens.device).repeat_interleave(each)
        begun = real.targets[rows, :forced]
        left = real.targets.shape[1] - forced
        tokens = begun
        if left:
            self.generator.eval()
            start = torch.cat([real.tokens[rows, :1], begun], dim=1)
            tokens = torch.cat([begun, sample(self.generator, start, left)], dim=1)
        alike = real.ordered(rows)
        return Texts(tokens, ends(tokens, alike, self._end_id))

    def ended(self) -> None:
        """Nothing lags."""
