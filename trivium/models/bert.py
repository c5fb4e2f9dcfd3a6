"""BERT (Devlin et al. 2018, "Pre-training of Deep Bidirectional Transformers").

The encoder of Vaswani et al. (2017) with the norm after each residual sum, learned positions, an
embedding for which of two texts a token belongs to, and a head that transforms the hidden state before
it meets the tied embedding. For a task the head is replaced (section 3.2).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models import bert_format, bert_parts
from trivium.models.head_format import Head, read_head, write_head
from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import WeightMap

_OWN_HEADS = {"ForPreTraining": "pretraining"}


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Shape of a BERT; the defaults are the base model's."""

    vocabulary_size: int = 30522
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 3072
    """Width F of the feed-forward layer."""
    context_tokens: int = 512
    """Longest text, the size of the position table."""
    token_types: int = 2
    """Number of texts that a row may join."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer and of the masked head."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-12
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    head: Head | Literal["pretraining"] = "language"
    """What the network says; "pretraining" is "language" with the next-sentence classifier beside it."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""
    head_dropout: float | None = None
    """Dropout before the labels; null for ``dropout``."""
    pooler: bool = True
    """Whether a bare body (head "none") has the pooler; heads that stand on it always do."""

    def __post_init__(self) -> None:
        bert_format.check(self)

    @property
    def pools(self) -> bool:
        """Whether there is a pooler."""
        return self.head in ("pretraining", "classification", "regression") or (self.head == "none" and self.pooler)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BertConfig":
        """From a ``config.json`` of ``model_type`` bert; ``Unsupported`` for what this file does not compute."""
        head = read_head(config, "Bert", language=("ForMaskedLM",), own=_OWN_HEADS)
        return cls(**bert_format.read(config), **head)

    def as_stored(self, names: Collection[str]) -> "BertConfig":
        """This configuration, as the names of the stored tensors tell it: with a pooler or without."""
        return bert_format.with_stored_pooler(self, names)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        head = write_head(self, "Bert", language="ForMaskedLM", own=_OWN_HEADS)
        return {"model_type": "bert", **head, **bert_format.write(self)}


class Bert(nn.Module):
    """Encoder-only Transformer under one head: that of ``config.head`` is there, the others are None.

    ``head(output.hidden)`` gives the logits of masked tokens, ``next_sentence(output.hidden)`` those of (follows, does
    not) (section 3.1, task 2); ``classify(output.hidden, lengths)`` the logits of classes, or numbers; ``tag`` and
    ``span`` are a `TaggingHead` and a `SpanHead`.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = bert_parts.positions(config, config.width)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = bert_parts.blocks(config)
        self.pooler = HiddenLayer(config.width) if config.pools else None
        self.head = bert_parts.masked_head(config, self.embedding, config.activation)
        self.next_sentence = (
            ClassificationHead(config.width, 2, pooling="first", transform=self.pooler)
            if config.head == "pretraining"
            else None
        )
        self.classify = bert_parts.classifier(config, self.pooler)
        self.tag = bert_parts.tagger(config)
        self.span = bert_parts.span_head(config)
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before positions and token types are added."""
        return self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
        token_types: Int[Tensor, "B T"] | None = None,
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md.

        ``token_types`` says which of two joined texts a token belongs to; all are of the first where not given. Rows of
        unequal ``lengths`` are computed without their padding; ``hidden`` is zero there.
        """
        if state is not None:
            raise Unsupported("an encoder reads a whole text at once", received="a state", expected="state=None")
        given = tokens if embeddings is None else embeddings
        rows = unpadded(given, lengths=lengths, segments=segments, collect=collect)
        x = embedded(self, rows.pack(tokens), rows.pack(embeddings))
        types = rows.pack(token_types)
        if types is None:
            types = torch.zeros(1, 1, dtype=torch.long, device=x.device)
        x = x + self.token_types(types) + self.positions(rows.layout.positions)
        x = self.dropout(self.norm(x))
        return rows.through(self.blocks, x, collect)


SIZES = {
    "bert-base": BertConfig(),
    "bert-large": BertConfig(width=1024, layers=24, heads=16, inner_width=4096),
}
"""Section 3 of the paper."""


def weight_map(config: BertConfig) -> WeightMap:
    """Between our names and those of ``BertForMaskedLM`` and its sisters with other heads."""
    return bert_format.pretrained_map(config, "bert.")
