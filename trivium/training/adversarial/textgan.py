"""TextGAN: a generator that is to be seen as real texts are (Zhang et al. 2017).

A text is written from a code z, standard normal numbers that are added to the vector of its start, and each token is
the likeliest: what varies comes from the code alone. The discriminator reads the soft tokens, and tells real from
generated, and the code from the text.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.data.batches import CausalBatch
from trivium.errors import ConfigError
from trivium.models.text_cnn import TextCNN
from trivium.nn.classification_head import pool
from trivium.nn.linear import Linear
from trivium.objectives.loss import Loss
from trivium.objectives.seqgan import GENERATED, REAL
from trivium.objectives.textgan import Judged, TextGANConfig, discriminator_loss, generator_loss
from trivium.training.adversarial.texts import Texts, ends, frozen
from trivium.training.soft_rollouts import soft_argmax_sample


class CodeReader(nn.Module):
    """A convolutional classifier of real and generated texts that also tells the code of a text."""

    def __init__(self, classifier: TextCNN, code_width: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.code = Linear(sum(classifier.config.filters), code_width)

    def features(self, texts: Texts) -> Float[Tensor, "B F"]:
        """What it sees in each text."""
        hidden = self.classifier(embeddings=self.classifier.embed(texts.read), lengths=texts.lengths).hidden
        return self.classifier.classify.transform(pool(hidden, texts.lengths, "max"))

    def log_odds(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B"]:
        """log D / (1 - D)."""
        logits = self.classifier.classify.output(self.classifier.classify.dropout(features))
        return logits[:, REAL] - logits[:, GENERATED]


class TextGAN:
    """A `Game`."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: CodeReader,
        config: TextGANConfig,
        *,
        end_id: int | None = None,
        parts: int = 1,
    ) -> None:
        """`ConfigError` for several `parts`: the discrepancy is one of whole batches."""
        if parts != 1:
            raise ConfigError(
                "features are matched over a whole batch, which cannot be computed in parts",
                received=f"micro_batches {parts}",
                fix="set micro_batches to 1, and fewer rows where memory is short",
            )
        self.generator, self.discriminator = generator, discriminator
        self._config, self._end_id = config, end_id

    def modules(self) -> dict[str, nn.Module]:
        return {}

    @torch.no_grad()
    def sampled(self, real: CausalBatch, step: int) -> Texts:
        return self._from_codes(real)

    def against(self, real: CausalBatch, written: Texts) -> Loss:
        self.discriminator.train()
        assert written.codes is not None
        truly, falsely = (self.discriminator.features(texts) for texts in (_real(real), written))
        judged = Judged(
            real=self.discriminator.log_odds(truly),
            generated=self.discriminator.log_odds(falsely),
            real_features=truly,
            generated_features=falsely,
            codes=written.codes,
            told_codes=self.discriminator.code(falsely),
        )
        return discriminator_loss(judged, self._config)

    def written(self, real: CausalBatch, step: int) -> Iterator[Loss]:
        self.discriminator.eval()
        with frozen(self.discriminator):
            truly = self.discriminator.features(_real(real))
            texts = self._from_codes(real)
            loss = generator_loss(truly, self.discriminator.features(texts), self._config)
            loss.metrics["tokens"] = texts.lengths.sum().to(loss.total.dtype)
        yield loss

    def _from_codes(self, real: CausalBatch) -> Texts:
        self.generator.eval()
        start = self.generator.embed(real.tokens[:, :1])
        codes = torch.randn_like(start[:, 0])
        tokens, soft = soft_argmax_sample(
            self.generator, start + codes[:, None], real.targets.shape[1], self._config.sharpness
        )
        return Texts(tokens, ends(tokens, real, self._end_id), soft, codes)

    def ended(self) -> None:
        """Nothing lags."""


def _real(batch: CausalBatch) -> Texts:
    return Texts(batch.targets, batch.lengths)
