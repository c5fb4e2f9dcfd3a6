"""The convolutional text classifier (Kim 2014), with the highway layer of SeqGAN's discriminator (Yu et al. 2017).

Windows of several widths slide over the embeddings; each filter keeps its strongest answer; a highway
layer, dropout and a linear layer make classes of them. It reads tokens, or mixtures of tokens: the soft
samples of a generator that is to receive a gradient.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models.own_format import check_labels, read_config, same_names, write_config
from trivium.nn.classification_head import ClassificationHead
from trivium.nn.convolution import WindowConvolution
from trivium.nn.embedded import embedded
from trivium.nn.highway import Highway
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.weight_map import WeightMap

_USES_OF_A_PIECE = 2
"""From so many on it is quicker to multiply every piece by every filter than every token."""


@dataclass(frozen=True, kw_only=True)
class TextCNNConfig:
    """Shape of the classifier; the defaults are Kim's."""

    vocabulary_size: int = 20000
    """Number of pieces V."""
    width: int = 300
    """Width D of the embedding."""
    windows: tuple[int, ...] = (3, 4, 5)
    """Tokens that each kind of filter sees."""
    filters: tuple[int, ...] = (100, 100, 100)
    """Number of filters of each kind."""
    highway: bool = False
    """A highway layer between pooling and the classes (SeqGAN)."""
    labels: tuple[str, ...] = ("0", "1")
    """Names of the classes, in the order of their ids."""
    dropout: float = 0.5
    """Dropout before the classes (Kim 2014, section 2.1)."""

    def __post_init__(self) -> None:
        check_labels(self.labels)
        if len(self.windows) != len(self.filters) or not self.windows:
            raise ConfigError(
                "windows and filters do not belong together",
                received=f"windows {self.windows}, filters {self.filters}",
                expected="one number of filters for each window, at least one",
            )

    @property
    def head(self) -> Literal["classification"]:
        """What the network says: the class of a text."""
        return "classification"

    @property
    def context_tokens(self) -> None:
        """No limit: a convolution has no positions."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "TextCNNConfig":
        """From a ``config.json`` of ``model_type`` trivium-text-cnn; ``ConfigError`` for fields it does not have.

        Files from before classes had names hold their number, ``classes``; the names are then 0, 1, 2, ...
        """
        classes = config.get("classes")
        if type(classes) is int and "id2label" not in config:
            config = {name: value for name, value in config.items() if name != "classes"}
            config["id2label"] = {str(number): str(number) for number in range(classes)}
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``; ``transformers`` does not know this family."""
        return write_config(self, "trivium-text-cnn", "TextCNN")


class TextCNN(nn.Module):
    """Convolutional classifier; ``classify(output.hidden)`` gives the logits of the classes."""

    def __init__(self, config: TextCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        pairs = zip(config.windows, config.filters, strict=True)
        self.blocks = nn.ModuleList(WindowConvolution(config.width, filters, window) for window, filters in pairs)
        width = sum(config.filters)
        transform = Highway(width) if config.highway else None
        self.classify = ClassificationHead(
            width, len(config.labels), pooling="max", transform=transform, dropout=config.dropout
        )
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)  # Kim 2014, section 3.1

    def embed(self, tokens: Int[Tensor, "B T"] | Float[Tensor, "B T V"]) -> Float[Tensor, "B T D"]:
        """Vectors of tokens, or of mixtures of tokens: probabilities over the vocabulary."""
        return tokens @ self.embedding.weight if tokens.is_floating_point() else self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
    ) -> Output:
        """``hidden[b, t]`` holds every filter's answer to the window that starts at ``t``, zero where that would
        leave the row: the maximum over time needs no lengths. The windows stand side by side, not one on another,
        so there are no layers to ``collect``."""
        if segments is not None or state is not None or collect:
            raise Unsupported(
                "the convolutional classifier reads whole texts, one a row",
                received="segments, a state or collect",
                expected="tokens or embeddings, with lengths",
            )
        x = embedded(self, tokens, embeddings)
        rows, length, _ = x.shape
        if lengths is None:
            lengths = torch.full((rows,), length, device=x.device)
        x = _real(x, lengths)
        return Output(torch.cat([block(x, lengths) for block in self.blocks], dim=-1))

    @torch.no_grad()
    def strongest(self, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B C"]:
        """The maximum over time of ``hidden``, which is what ``classify`` reads of it, without ever holding that: for
        many texts most of the time goes into memory. For very many, filters meet each piece of the vocabulary once.
        No gradient."""
        if tokens.numel() > _USES_OF_A_PIECE * self.config.vocabulary_size:
            read = [block.strongest_of_ids(tokens, self.embedding.weight, lengths) for block in self.blocks]
            return torch.cat(read, dim=-1)
        x = _real(self.embedding(tokens), lengths).transpose(1, 2).contiguous()
        ragged = None if int(lengths.min()) == tokens.shape[1] else lengths
        return torch.cat([block.strongest(x, ragged) for block in self.blocks], dim=-1)


def _real(x: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B T D"]:
    """Zero beyond each row's length."""
    valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid[:, :, None], x, 0.0)


SIZES = {
    "kim": TextCNNConfig(),
    "seqgan": TextCNNConfig(
        vocabulary_size=5000,
        width=64,
        windows=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20),
        filters=(100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160),
        highway=True,
        dropout=0.25,
    ),
}
"""Kim 2014, section 3.1; Yu et al. 2017, the discriminator for texts of 20 tokens."""


def weight_map(config: TextCNNConfig) -> WeightMap:
    """Our names are the file's."""
    modules = ["blocks.{i}.convolution", "classify.output"]
    if config.highway:
        modules += ["classify.transform.transform", "classify.transform.gate"]
    names = [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]
    return same_names(["embedding.weight", *names], layers=len(config.windows))
