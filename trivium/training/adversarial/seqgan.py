"""SeqGAN: what a beginning is worth is how real its endings look (Yu et al. 2017, algorithm 1).

With a `reward` other than the discriminator's it is a control: a reward that says nothing also moves the generator, and
what it gains is not the discriminator's doing.
"""

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.objectives.loss import Loss
from trivium.objectives.seqgan import SeqGANConfig, position_mean, seqgan
from trivium.training.adversarial.rollouts import rollout_rewards
from trivium.training.adversarial.texts import Texts, as_batch, drawn
from trivium.training.adversarial.two_classes import realness, told_apart


class SeqGAN:
    """A `Game`. The discriminator classifies texts in the two classes of `objectives.seqgan`."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        config: SeqGANConfig,
        *,
        end_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`parts` is what an update of the generator is computed in: less memory, the same update."""
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id, self._split = config, end_id, parts
        self._lagging = copy.deepcopy(generator).eval().requires_grad_(False)

    def modules(self) -> dict[str, nn.Module]:
        return {"rollout_policy": self._lagging}

    def sampled(self, real: CausalBatch, step: int) -> Texts:
        return drawn(self.generator, real, self._end_id)

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        return told_apart(self.discriminator, Texts.of(real), written)

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        start, texts = real.tokens[:, :1], drawn(self.generator, real, self._end_id)
        rewards = rollout_rewards(
            self._lagging, self._judge, start, texts.tokens, texts.lengths, self._config.rollouts, end_id=self._end_id
        )
        batch, first = as_batch(start, texts), 0
        baseline = position_mean(rewards, batch.mask) if self._config.baseline == "position" else None
        for part in batch.split(self._split):
            yield seqgan(self.generator, part, rewards[first : first + part.rows], baseline)
            first += part.rows

    def _judge(self, texts: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        if self._config.reward == "constant":
            return torch.ones(texts.shape[0], device=texts.device)
        if self._config.reward == "random":
            return torch.rand(texts.shape[0], device=texts.device)
        return realness(self.discriminator, texts, lengths)

    @torch.no_grad()
    def ended(self) -> None:
        """rollout policy <- lag * rollout policy + (1 - lag) * generator."""
        for lagging, present in zip(self._lagging.parameters(), self.generator.parameters(), strict=True):
            lagging.lerp_(present, 1 - self._config.rollout_lag)
