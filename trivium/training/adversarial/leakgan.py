"""LeakGAN: the discriminator tells the generator what it sees of a text while it is written (Guo et al. 2018)."""

from collections.abc import Iterator

from torch import nn

from trivium.data.batches import CausalBatch
from trivium.models.leakgan import LeakGAN
from trivium.models.text_cnn import TextCNN
from trivium.objectives.leakgan import LeakGANTraining, leakgan, leakgan_pretraining, rescaled
from trivium.objectives.loss import Loss
from trivium.objectives.weighted_likelihood import reward_metrics
from trivium.training.adversarial.rollouts import rollout_rewards
from trivium.training.adversarial.texts import Texts, as_batch, drawn
from trivium.training.adversarial.two_classes import realness, told_apart


class LeakGame:
    """A `Game` of a `LeakGAN` and the discriminator whose features it is told."""

    def __init__(
        self,
        generator: LeakGAN,
        discriminator: TextCNN,
        config: LeakGANTraining,
        *,
        end_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in. `ConfigError` where the two do not fit."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._split = config, end_id, parts
        generator.leak.requires_grad_(False)  # it follows the discriminator
        generator.follow(discriminator)

    def modules(self) -> dict[str, nn.Module]:
        return {}

    def sampled(self, real: CausalBatch, step: int) -> Texts:
        self.generator.follow(self.discriminator)
        return drawn(self.generator, real, self._end_id)

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        return told_apart(self.discriminator, Texts.of(real), written)

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        self.generator.follow(self.discriminator)
        if self._config.likelihood_every and step % self._config.likelihood_every == 0:
            self.generator.train()
            for part in real.split(self._split):
                yield leakgan_pretraining(self.generator, part)
            return
        texts = drawn(self.generator, real, self._end_id)
        batch, first = as_batch(real.tokens[:, :1], texts), 0
        values = rollout_rewards(
            self.generator,
            lambda seen, lengths: realness(self.discriminator, seen, lengths),
            real.tokens[:, :1],
            texts.tokens,
            texts.lengths,
            self._config.rollouts,
            end_id=self._end_id,
        )
        rewards = rescaled(values, batch.mask, self._config.sharpness) if self._config.rescale else values
        for part in batch.split(self._split):
            last = first + part.rows
            loss = leakgan(self.generator, part, rewards[first:last], self._config.worker_reward)
            # Told before ranks stand for them: those of values that hardly differ are as far apart as any.
            loss.metrics |= reward_metrics(values[first:last][part.mask])
            yield loss
            first = last

    def ended(self) -> None:
        """What is told is what the discriminator has learnt by now."""
        self.generator.follow(self.discriminator)
