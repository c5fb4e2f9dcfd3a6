"""ELECTRA (Clark et al. 2020, "Pre-training Text Encoders as Discriminators Rather Than Generators").

BERT's encoder with token vectors of a width of their own and a projection to that of the blocks. It is trained as the
discriminator of a pair (``electra_pair.py``): a small generator, a masked language model, fills what was masked, and
the discriminator says of every token whether it was replaced.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import bert_format, bert_parts
from trivium.models.head_format import Head, read_head, write_head
from trivium.nn.classification_head import HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import ACTIVATIONS, Activation
from trivium.nn.initialise import normal_
from trivium.nn.linear import Linear
from trivium.nn.masked_head import MaskedHead
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import Rename, WeightMap

_OWN_HEADS = {"ForPreTraining": "replaced"}
_DEFAULTS = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
"""Where a ``config.json`` says nothing the model is the small one; of BERT it is the base one."""


@dataclass(frozen=True, kw_only=True)
class ElectraConfig:
    """Shape of an ELECTRA; the defaults are the small model's."""

    vocabulary_size: int = 30522
    """Number of pieces V."""
    embedding_width: int = 128
    """Width of the vectors of tokens, positions and types; projected where it is not ``width``."""
    width: int = 256
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 4
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 1024
    """Width F of the feed-forward layer."""
    context_tokens: int = 512
    """Longest text, the size of the position table."""
    token_types: int = 2
    """Number of texts that a row may join."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer and of the discriminator's head."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-12
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights of a generator are the input embedding."""
    head: Head | Literal["replaced"] = "language"
    """What the network says; "replaced" is the discriminator's head, "language" the generator's."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""
    head_dropout: float | None = None
    """Dropout before the labels; null for ``dropout``."""

    def __post_init__(self) -> None:
        bert_format.check(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "ElectraConfig":
        """From a ``config.json`` of ``model_type`` electra; ``Unsupported`` for what this file does not compute."""
        head = read_head(config, "Electra", language=("ForMaskedLM",), own=_OWN_HEADS)
        shape = bert_format.read({**_DEFAULTS, **config})
        return cls(embedding_width=config.get("embedding_size", 128), **shape, **head)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        head = write_head(self, "Electra", language="ForMaskedLM", own=_OWN_HEADS)
        return {"model_type": "electra", **head, **bert_format.write(self), "embedding_size": self.embedding_width}


class ReplacedHead(nn.Module):
    """w^T act(W h + b) + c for every token: the logit of its not being the one that stood there (section 2)."""

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.transform = Linear(width, width)
        self.output = Linear(width, 1)
        self.activation = activation

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """Above 0 where a token was more likely replaced than not."""
        return self.output(ACTIVATIONS[self.activation](self.transform(hidden)))[..., 0]


class Electra(nn.Module):
    """Encoder-only Transformer under one head: that of ``config.head`` is there, the others are None.

    ``replaced(output.hidden)`` gives a logit for each token; the others are as ``Bert``'s.
    """

    def __init__(self, config: ElectraConfig, *, shared: "Electra | None" = None) -> None:
        """With ``shared`` the vectors of tokens, positions and types are that network's."""
        super().__init__()
        self.config = config
        width = config.embedding_width
        if shared is None:
            self.embedding = nn.Embedding(config.vocabulary_size, width)
            self.positions = bert_parts.positions(config, width)
            self.token_types = nn.Embedding(config.token_types, width)
        else:
            self.embedding, self.positions, self.token_types = shared.embedding, shared.positions, shared.token_types
        self.norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.projection = Linear(width, config.width) if width != config.width else nn.Identity()
        self.blocks = bert_parts.blocks(config)
        self.head = _generator_head(config, self.embedding) if config.head == "language" else None
        self.replaced = ReplacedHead(config.width, config.activation) if config.head == "replaced" else None
        hidden_layer = HiddenLayer(config.width, "gelu", dropout=bert_parts.head_dropout(config))
        self.classify = bert_parts.classifier(config, hidden_layer)
        self.tag = bert_parts.tagger(config)
        self.span = bert_parts.span_head(config)
        self.apply(normal_)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token vectors, ``embedding_width`` wide, before positions and token types are added."""
        return self.embedding(tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T E"] | None = None,
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
        x = self.projection(self.dropout(self.norm(x)))
        return rows.through(self.blocks, x, collect)


def _generator_head(config: ElectraConfig, embedding: nn.Embedding) -> MaskedHead:
    """A hidden layer of the embedding's width, with GELU whatever the blocks have."""
    return MaskedHead(
        config.width,
        config.vocabulary_size,
        activation="gelu",
        norm_epsilon=config.norm_epsilon,
        tied_to=embedding if config.tied else None,
        inner_width=config.embedding_width,
    )


def generator_of(discriminator: ElectraConfig, share: float) -> ElectraConfig:
    """The generator beside ``discriminator``: as deep and with its embeddings, but a ``share`` of its heads (rounded,
    each as wide) and of its inner width (section 3.2; a quarter to a half does best)."""
    if not 0.0 < share <= 1.0:
        raise ConfigError("the generator's share is a share", received=share, expected="above 0, at most 1")
    heads = max(1, round(discriminator.heads * share))
    return replace(
        discriminator,
        width=heads * (discriminator.width // discriminator.heads),
        heads=heads,
        inner_width=max(1, round(discriminator.inner_width * share)),
        head="language",
        labels=(),
    )


_SMALL = ElectraConfig(head="replaced")
_BASE = ElectraConfig(embedding_width=768, width=768, heads=12, inner_width=3072, head="replaced")
_LARGE = ElectraConfig(embedding_width=1024, width=1024, layers=24, heads=16, inner_width=4096, head="replaced")
SIZES = {
    "electra-small-discriminator": _SMALL,
    "electra-small-generator": generator_of(_SMALL, 1 / 4),
    "electra-base-discriminator": _BASE,
    "electra-base-generator": generator_of(_BASE, 1 / 3),
    "electra-large-discriminator": _LARGE,
    "electra-large-generator": generator_of(_LARGE, 1 / 4),
}
"""Table 6 of the paper. The small generator that was published with the code is as large as its discriminator."""

_CLASSIFIER = [("classify.transform.linear", "classifier.dense"), ("classify.output", "classifier.out_proj")]
_HEADS: dict[str, list[tuple[str, str]]] = {
    "language": [("head.transform", "generator_predictions.dense"), ("head.norm", "generator_predictions.LayerNorm")],
    "replaced": [
        ("replaced.transform", "discriminator_predictions.dense"),
        ("replaced.output", "discriminator_predictions.dense_prediction"),
    ],
    "classification": _CLASSIFIER,
    "regression": _CLASSIFIER,
    "tagging": [("tag.output", "classifier")],
    "span": [("span.output", "qa_outputs")],
    "none": [],
}


def weight_map(config: ElectraConfig) -> WeightMap:
    """Between our names and those of ``ElectraForPreTraining`` and its sisters with other heads."""
    body = bert_format.prefix(config, "electra.")
    entries = [*bert_format.body_entries(config, body), *bert_format.modules(_HEADS[config.head])]
    if config.embedding_width != config.width:
        entries += bert_format.modules([("projection", body + "embeddings_project")])
    ignored = [body + "embeddings.position_ids"]  # a buffer of old files
    if config.head != "language":
        return WeightMap(tuple(entries), config.layers, (), tuple(ignored))
    output = "generator_lm_head."
    entries.append(Rename("head.output.bias", output + "bias"))
    if config.tied:
        return WeightMap(tuple(entries), config.layers, ("head.output.weight",), (*ignored, output + "weight"))
    entries.append(Rename("head.output.weight", output + "weight"))
    return WeightMap(tuple(entries), config.layers, (), tuple(ignored))
