"""RelGAN: the discriminator's gradient goes through soft tokens into the generator (Nie et al. 2019, algorithm 1)."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.objectives.loss import Loss
from trivium.objectives.relgan import RelGANConfig, discriminator_loss, generator_loss
from trivium.training.adversarial.texts import Texts, ends, frozen
from trivium.training.soft_rollouts import noisy_sample, softened


class RelGAN:
    """A `Game`. The discriminator gives each text one logit or several (`models.relgan_discriminator`)."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: RelGANConfig,
        *,
        end_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in: less memory, the same update."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._split = config, end_id, parts

    def modules(self) -> dict[str, nn.Module]:
        return {}

    @torch.no_grad()
    def sampled(self, real: CausalBatch, step: int) -> Texts:
        return self._softened(real, *self._drawn(real), step)

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        self.discriminator.train()
        truly = self.discriminator(real.targets, lengths=real.lengths)
        falsely = self._judged(written)
        total = discriminator_loss(self._config.adversary, truly, falsely).sum()
        correct = (truly.mean(-1) > falsely.mean(-1)).sum().to(total.dtype)
        return Loss(total=total, count=total.new_tensor(float(real.rows)), metrics={"correct": correct})

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        self.discriminator.eval()
        # For all parts at once: what is drawn does not depend on how many there are.
        tokens, noise = self._drawn(real)
        first = 0
        for part in real.split(self._split):
            last = first + part.rows
            with frozen(self.discriminator):
                texts = self._softened(part, tokens[first:last], noise[first:last], step)
                truly = self.discriminator(part.targets, lengths=part.lengths)
                falsely = self._judged(texts)
                total = generator_loss(self._config.adversary, truly, falsely).sum()
            metrics = {"tokens": texts.lengths.sum().to(total.dtype)}
            yield Loss(total=total, count=total.new_tensor(float(part.rows)), metrics=metrics)
            first = last

    def _judged(self, texts: Texts) -> Float[Tensor, "B S"]:
        return self.discriminator(embeddings=self.discriminator.embed(texts.read), lengths=texts.lengths)

    def _drawn(self, real: CausalBatch) -> tuple[Int[Tensor, "B T"], Float[Tensor, "B T V"]]:
        """As many texts as there are real ones, and the noise that they were drawn by."""
        self.generator.eval()
        return noisy_sample(self.generator, real.tokens[:, :1], real.targets.shape[1])

    def _softened(
        self, real: CausalBatch, tokens: Int[Tensor, "B T"], noise: Float[Tensor, "B T V"], step: int
    ) -> Texts:
        """These texts as the discriminator reads them."""
        beta, hard = self._config.beta(step), self._config.straight_through
        soft = softened(self.generator, real.tokens[:, :1], tokens, noise, beta, hard=hard)
        return Texts(tokens, ends(tokens, real, self._end_id), soft)

    def ended(self) -> None:
        """Nothing lags."""
