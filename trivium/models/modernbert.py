"""ModernBERT (Warner et al. 2024, "Smarter, Better, Faster, Longer").

BERT's task with what decoders have learnt since (section 2.1): norms before the sub-blocks, no biases, GeGLU, rotary
positions, and attention that is global in every third layer and otherwise sees a window, for texts of 8,192 tokens.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import bert_format, bert_parts, modernbert_format
from trivium.models.head_format import Head, read_head, write_head
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.classification_head import ClassificationHead
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import ACTIVATIONS, Activation, GatedFeedForward
from trivium.nn.initialise import normal_, smaller_residuals_
from trivium.nn.linear import Linear
from trivium.nn.masked_head import MaskedHead
from trivium.nn.output import Output
from trivium.nn.positions.rope import Rope, Rotary, rotate
from trivium.nn.span_head import SpanHead
from trivium.nn.state import State
from trivium.nn.unpad import unpadded
from trivium.nn.weight_map import Rename, WeightMap


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """Shape of a ModernBERT; the defaults are the base model's."""

    vocabulary_size: int = 50368
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 22
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 1152
    """Width F of the gated feed-forward layer."""
    context_tokens: int = 8192
    """Longest text."""
    global_every_layers: int = 3
    """The first and every so many layers see the whole text, the others a window."""
    local_tokens: int = 128
    """Size of the window: half of it is seen on either side of a token."""
    global_rope: Rope = field(default_factory=lambda: Rope(base=160_000.0))
    """Rotary positions of the layers that see the whole text."""
    local_rope: Rope = field(default_factory=Rope)
    """Rotary positions of those that see a window."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer; that of the prediction layer is GELU."""
    dropout: float = 0.0
    """Dropout on the embeddings."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities and on what attention adds."""
    norm_epsilon: float = 1e-5
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    head: Head = "language"
    """What the network says."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""
    pooling: Literal["first", "mean"] = "first"
    """What a text is classified by: its first position, or the mean over all."""
    head_dropout: float = 0.0
    """Dropout before the labels."""

    def __post_init__(self) -> None:
        bert_format.check(self)
        if self.global_every_layers < 1 or self.local_tokens < 2:
            raise ConfigError(
                "a window or a rhythm of global layers that is none",
                received=f"local_tokens {self.local_tokens}, global_every_layers {self.global_every_layers}",
                expected="at least 2, at least 1",
            )
        for rope in (self.global_rope, self.local_rope):
            if rope.kind in ("dynamic", "longrope"):  # the angles of a text would depend on the other texts of a batch
                raise Unsupported("rope_type", received=rope.kind, expected="angles that do not follow the length")

    def sees_all(self, layer: int) -> bool:
        """Whether the attention of a layer is global."""
        return layer % self.global_every_layers == 0

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "ModernBertConfig":
        """From a ``config.json`` of ``model_type`` modernbert; ``Unsupported`` for what this file does not compute."""
        head = read_head(config, "ModernBert", language=("ForMaskedLM",))
        return cls(**modernbert_format.read(config), **head)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens, in the spellings of 4 and of 5."""
        head = write_head(self, "ModernBert", language="ForMaskedLM")
        return {"model_type": "modernbert", **head, **modernbert_format.write(self)}


class Attention(nn.Module):
    """Self-attention in both directions with rotary positions, over the whole text or a window."""

    def __init__(self, config: ModernBertConfig, window: int | None) -> None:
        super().__init__()
        self.heads, self.head_width, self.window = config.heads, config.width // config.heads, window
        self.qkv = Linear(config.width, 3 * config.width, bias=False)
        self.output = Linear(config.width, config.width, bias=False)
        self.dropout = config.attention_dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B T D"]:
        qk, v = self.qkv(x).unflatten(-1, (3 * self.heads, self.head_width)).split([2 * self.heads, self.heads], dim=2)
        q, k = rotate(qk, rotation).transpose(1, 2).chunk(2, dim=1)
        how = Scoring(window=self.window, dropout=self.dropout if self.training else 0.0)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        mixed = attend(q, k, v.transpose(1, 2), layout, how)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); the first block's input is normed already."""

    def __init__(self, config: ModernBertConfig, layer: int) -> None:
        super().__init__()
        window = None if config.sees_all(layer) else config.local_tokens // 2
        self.attention_norm = nn.Identity() if layer == 0 else _norm(config)
        self.attention = Attention(config, window)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = _norm(config)
        self.feedforward = GatedFeedForward(config.width, config.inner_width, config.activation)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(config.attention_dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotation, probabilities)
        x = x + self.after_attention(self.dropout(mixed))
        return x + self.after_feedforward(self.feedforward(self.feedforward_norm(x)))


class PredictionLayer(nn.Module):
    """norm(gelu(W x)), which stands before the outputs of every head."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.transform = Linear(config.width, config.width, bias=False)
        self.norm = _norm(config)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return self.norm(ACTIVATIONS["gelu"](self.transform(x)))


class ModernBert(nn.Module):
    """Encoder-only Transformer under one head: that of ``config.head`` is there, the others are None.

    The heads are called as ``Bert``'s. Under one that speaks of each token of a text (tagging, span) ``hidden`` has
    gone through the prediction layer; otherwise it is what the final norm gives.
    """

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.embedding_norm = _norm(config)
        self.dropout = nn.Dropout(config.dropout)
        head_width = config.width // config.heads
        self.global_rotary = Rotary(config.global_rope, head_width, config.context_tokens)
        self.local_rotary = Rotary(config.local_rope, head_width, config.context_tokens)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = _norm(config)
        self.prediction = PredictionLayer(config) if config.head in ("tagging", "span") else nn.Identity()
        self.head = _masked_head(config, self.embedding) if config.head == "language" else None
        self.classify = _classifier(config) if config.head in ("classification", "regression") else None
        self.tag = bert_parts.tagger(config)
        self.span = SpanHead(config.width, dropout=config.head_dropout) if config.head == "span" else None
        self.apply(normal_)
        smaller_residuals_(self, config.layers)  # appendix A, "Megatron"

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors, before their norm."""
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
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md.

        Rows of unequal ``lengths`` are computed without their padding; ``hidden`` is zero there.
        """
        if state is not None:
            raise Unsupported("an encoder reads a whole text at once", received="a state", expected="state=None")
        given = tokens if embeddings is None else embeddings
        rows = unpadded(given, lengths=lengths, segments=segments, collect=collect)
        x = self.dropout(self.embedding_norm(embedded(self, rows.pack(tokens), rows.pack(embeddings))))
        positions = rows.layout.positions
        everywhere, near = self.global_rotary(positions, x.dtype), self.local_rotary(positions, x.dtype)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        for layer, block in enumerate(self.blocks):
            if "hidden" in collected:
                collected["hidden"].append(rows.unpack(x))
            rotation = everywhere if self.config.sees_all(layer) else near
            x = block(x, rows.layout, rotation, collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(rows.unpack(x))
        return Output(rows.unpack(self.prediction(self.norm(x))), collected=collected)


def _norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.norm_epsilon, bias=False)


def _masked_head(config: ModernBertConfig, embedding: nn.Embedding) -> MaskedHead:
    """As BERT's, but the prediction layer is without biases."""
    return MaskedHead(
        config.width,
        config.vocabulary_size,
        activation="gelu",
        norm_epsilon=config.norm_epsilon,
        tied_to=embedding if config.tied else None,
        bias=False,
    )


def _classifier(config: ModernBertConfig) -> ClassificationHead:
    layer, dropout = PredictionLayer(config), config.head_dropout
    return ClassificationHead(
        config.width, len(config.labels), pooling=config.pooling, transform=layer, dropout=dropout
    )


SIZES = {
    "modernbert-base": ModernBertConfig(pooling="mean"),
    "modernbert-large": ModernBertConfig(pooling="mean", width=1024, layers=28, heads=16, inner_width=2624),
}
"""Table 4 of the paper."""

_PREDICTION = {
    "language": "head",
    "classification": "classify.transform",
    "regression": "classify.transform",
    "tagging": "prediction",
    "span": "prediction",
}
"""Where the prediction layer is."""
_OUTPUT = {"classification": "classify", "regression": "classify", "tagging": "tag", "span": "span"}


def weight_map(config: ModernBertConfig) -> WeightMap:
    """Between our names and those of ``ModernBertForMaskedLM`` and its sisters with other heads."""
    body = bert_format.prefix(config, "model.")
    layer = body + "layers.{i}."
    names = [
        ("embedding", body + "embeddings.tok_embeddings"),
        ("embedding_norm", body + "embeddings.norm"),
        ("norm", body + "final_norm"),
        ("blocks.{i}.attention.qkv", layer + "attn.Wqkv"),
        ("blocks.{i}.attention.output", layer + "attn.Wo"),
        ("blocks.{i}.feedforward_norm", layer + "mlp_norm"),
        ("blocks.{i}.feedforward.gate_up", layer + "mlp.Wi"),
        ("blocks.{i}.feedforward.down", layer + "mlp.Wo"),
    ]
    names += [(f"blocks.{i}.attention_norm", f"{body}layers.{i}.attn_norm") for i in range(1, config.layers)]
    if config.head in _PREDICTION:
        prediction = _PREDICTION[config.head]
        names += [(f"{prediction}.transform", "head.dense"), (f"{prediction}.norm", "head.norm")]
    entries = [Rename(f"{ours}.weight", f"{theirs}.weight") for ours, theirs in names]
    if config.head in _OUTPUT:
        entries += bert_format.modules([(_OUTPUT[config.head] + ".output", "classifier")])
    if config.head != "language":
        return WeightMap(tuple(entries), config.layers)
    entries.append(Rename("head.output.bias", "decoder.bias"))
    if config.tied:
        return WeightMap(tuple(entries), config.layers, ("head.output.weight",), ("decoder.weight",))
    entries.append(Rename("head.output.weight", "decoder.weight"))
    return WeightMap(tuple(entries), config.layers)
