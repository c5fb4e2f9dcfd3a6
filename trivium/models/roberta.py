"""RoBERTa (Liu et al. 2019, "A Robustly Optimized BERT Pretraining Approach"), also in many languages (XLM-R: Conneau
et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale").

BERT's encoder without next-sentence prediction: one kind of text, a head for tokens that takes the last hidden state,
and a classifier with a hidden layer of its own in the place of the pooler. The table of positions begins with rows
that belong to no position, as many as the id of the padding piece and one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.models import bert_format, bert_parts
from trivium.models.head_format import Head, read_head, write_head
from trivium.nn.classification_head import HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.state import State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import WeightMap

# Name of the networks, and the number of pieces where a config.json does not say it.
_FAMILIES = {"roberta": ("Roberta", 50265), "xlm-roberta": ("XLMRoberta", 30522), "camembert": ("Camembert", 30522)}


@dataclass(frozen=True, kw_only=True)
class RobertaConfig:
    """Shape of a RoBERTa; the defaults are the base model's."""

    vocabulary_size: int = 50265
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
    """Longest text, with the pieces around it."""
    pad_id: int = 1
    """Id of the piece that pads. Positions here go by place and never look for it, but the position table begins with
    ``pad_id + 1`` unused rows, and ``transformers`` counts positions by it."""
    token_types: int = 1
    """Number of texts that a row may join."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer; the masked head has GELU."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    head: Head = "language"
    """What the network says."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""
    head_dropout: float | None = None
    """Dropout before the labels; null for ``dropout``."""
    pooler: bool = True
    """Whether a bare body (head "none") has the pooler of published files; no head stands on it."""

    def __post_init__(self) -> None:
        bert_format.check(self)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "RobertaConfig":
        """From a ``config.json`` of ``model_type`` roberta, xlm-roberta or camembert, which are one network.

        ``Unsupported`` for what this file does not compute.
        """
        family, vocabulary_size = _FAMILIES[config.get("model_type", "roberta")]
        pad_id = config.get("pad_token_id", 1)
        if pad_id is None:
            raise Unsupported("pad_token_id, which positions are counted by", received="null", expected="an id")
        head = read_head(config, family, language=("ForMaskedLM",))
        fields = bert_format.read(config, vocabulary_size=vocabulary_size)
        fields["context_tokens"] -= pad_id + 1
        return cls(pad_id=pad_id, **fields, **head)

    def as_stored(self, names: Collection[str]) -> "RobertaConfig":
        """This configuration, as the names of the stored tensors tell it: with a pooler or without."""
        return bert_format.with_stored_pooler(self, names)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        head = write_head(self, "Roberta", language="ForMaskedLM")
        fields = bert_format.write(self)
        fields["max_position_embeddings"] += self.pad_id + 1
        return {"model_type": "roberta", **head, **fields, "pad_token_id": self.pad_id}


class Roberta(nn.Module):
    """Encoder-only Transformer under one head: that of ``config.head`` is there, the others are None.

    ``head(output.hidden)`` gives the logits of masked tokens, ``classify(output.hidden, lengths)`` those of classes, or
    numbers; ``tag`` and ``span`` are a `TaggingHead` and a `SpanHead`.
    """

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = bert_parts.positions(config, config.width, offset=config.pad_id + 1)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = bert_parts.blocks(config)
        self.pooler = HiddenLayer(config.width) if config.head == "none" and config.pooler else None
        self.head = bert_parts.masked_head(config, self.embedding, "gelu")
        self.classify = bert_parts.classifier(config, pooler=None)
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


_LARGE = RobertaConfig(width=1024, layers=24, heads=16, inner_width=4096)
SIZES = {
    "roberta-base": RobertaConfig(),
    "roberta-large": _LARGE,
    "xlm-roberta-base": RobertaConfig(vocabulary_size=250002),
    "xlm-roberta-large": replace(_LARGE, vocabulary_size=250002),
}
"""Liu et al. 2019, section 3.1 and appendix A; Conneau et al. 2020, table 5."""


def weight_map(config: RobertaConfig) -> WeightMap:
    """Between our names and those of ``RobertaForMaskedLM`` and its sisters with other heads."""
    body = bert_format.prefix(config, "roberta.")
    entries = bert_format.body_entries(config, body)
    pooler = ("pooler.linear", body + "pooler.dense")
    modules = {
        "language": [("head.transform", "lm_head.dense"), ("head.norm", "lm_head.layer_norm")],
        "classification": [
            ("classify.transform.linear", "classifier.dense"),
            ("classify.output", "classifier.out_proj"),
        ],
        "tagging": [("tag.output", "classifier")],
        "span": [("span.output", "qa_outputs")],
        "none": [pooler] if config.pooler else [],
    }
    modules["regression"] = modules["classification"]
    entries += bert_format.modules(modules[config.head])
    # What published files hold beside: a buffer, and the pooler that no head stands on.
    ignored = [body + "embeddings.position_ids"]
    if pooler not in modules[config.head]:
        ignored += [f"{body}pooler.dense.{kind}" for kind in ("weight", "bias")]
    if config.head == "language":
        return bert_format.output_map(config, entries, "lm_head.", ignored)
    return WeightMap(tuple(entries), config.layers, (), tuple(ignored))
