"""BERT (Devlin et al. 2018, "Pre-training of Deep Bidirectional Transformers").

The encoder of Vaswani et al. (2017) with the norm after each residual sum, learned positions, an
embedding for which of two texts a token belongs to, and a head that transforms the hidden state before
it meets the tied embedding.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.layout import Layout, plain_layout
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import ACTIVATIONS, Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.linear import Linear
from trivium.nn.output import Output
from trivium.nn.positions.learned import LearnedPositions
from trivium.nn.state import State
from trivium.nn.weight_map import Fuse, Rename, WeightMap

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}


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
    """Non-linearity of the feed-forward layer and of the head."""
    dropout: float = 0.1
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.1
    """Dropout on attention probabilities."""
    norm_epsilon: float = 1e-12
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    next_sentence: bool = False
    """With the pooler and the next-sentence classifier of pre-training."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "the heads do not divide the width",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose a width that is a multiple of {self.heads}",
            )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "BertConfig":
        """From a ``config.json`` of ``model_type`` bert; ``Unsupported`` for what this file does not compute."""
        activation = config.get("hidden_act", "gelu")
        if activation not in _ACTIVATIONS:
            raise Unsupported("hidden_act", received=activation, expected=", ".join(_ACTIVATIONS))
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise Unsupported(
                "position_embedding_type", received=config["position_embedding_type"], expected="absolute"
            )
        if config.get("is_decoder") or config.get("add_cross_attention"):
            raise Unsupported("BERT as a decoder", received="is_decoder or add_cross_attention: true")
        return cls(
            vocabulary_size=config.get("vocab_size", 30522),
            width=config.get("hidden_size", 768),
            layers=config.get("num_hidden_layers", 12),
            heads=config.get("num_attention_heads", 12),
            inner_width=config.get("intermediate_size", 3072),
            context_tokens=config.get("max_position_embeddings", 512),
            token_types=config.get("type_vocab_size", 2),
            activation=_ACTIVATIONS[activation],
            dropout=config.get("hidden_dropout_prob", 0.1),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.1),
            norm_epsilon=config.get("layer_norm_eps", 1e-12),
            tied=config.get("tie_word_embeddings", True),
            next_sentence=config.get("architectures") == ["BertForPreTraining"],
        )

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
        return {
            "model_type": "bert",
            "architectures": ["BertForPreTraining" if self.next_sentence else "BertForMaskedLM"],
            "vocab_size": self.vocabulary_size,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner_width,
            "max_position_embeddings": self.context_tokens,
            "type_vocab_size": self.token_types,
            "hidden_act": theirs[self.activation],
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "layer_norm_eps": self.norm_epsilon,
            "tie_word_embeddings": self.tied,
        }


class Attention(nn.Module):
    """Self-attention in both directions with one fused projection for q, k and v."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, self.head_width = config.heads, config.width // config.heads
        self.qkv = Linear(config.width, 3 * config.width)
        self.output = Linear(config.width, config.width)
        self.dropout = config.attention_dropout

    def forward(
        self, x: Float[Tensor, "B T D"], layout: Layout, probabilities: list[Tensor] | None
    ) -> Float[Tensor, "B T D"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width)).transpose(1, 3).unbind(2)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout))
        mixed = attend(q, k, v, layout, dropout=self.dropout if self.training else 0.0)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """norm(x + attention(x)), then norm(x + feedforward(x))."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, config.inner_width, config.activation)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B T D"], layout: Layout, probabilities: list[Tensor] | None = None
    ) -> Float[Tensor, "B T D"]:
        mixed = self.dropout(self.attention(x, layout, probabilities))
        x = self.attention_norm(x + self.after_attention(mixed))
        return self.feedforward_norm(x + self.after_feedforward(self.dropout(self.feedforward(x))))


class MaskedHead(nn.Module):
    """norm(act(W h + b)), then an ``OutputHead`` (its calls are ours), so that hidden states stay the last block's."""

    def __init__(self, config: BertConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.transform = Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.activation = config.activation
        tied_to = embedding if config.tied else None
        self.output = OutputHead(config.width, config.vocabulary_size, tied_to=tied_to, bias=True)

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
    ) -> Float[Tensor, "..."]:
        """As ``OutputHead.forward``."""
        transformed = self.norm(ACTIVATIONS[self.activation](self.transform(hidden)))
        return self.output(transformed, targets, weights, reduce)

    def logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Unnormalised log-probabilities of every piece."""
        return self(hidden)

    def log_prob(self, hidden: Float[Tensor, "... D"], targets: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
        """log p(target | hidden) in nats."""
        return self(hidden, targets)

    def nll_sum(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."],
        weights: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, ""]:
        """sum_n w_n * -log p(target_n | hidden_n) in nats; ``w`` is 1 where ``weights`` is not given."""
        return self(hidden, targets, weights, reduce=True)


class NextSentence(nn.Module):
    """Whether the second text follows the first, from tanh(W h_[CLS] + b) (section 3.1, task 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooler = Linear(width, width)
        self.output = Linear(width, 2)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        """Unnormalised log-probabilities of (follows, does not)."""
        return self.output(torch.tanh(self.pooler(hidden[:, 0])))


class Bert(nn.Module):
    """Encoder-only Transformer; ``head(output.hidden)`` gives the logits of masked tokens."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context_tokens, config.width)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = MaskedHead(config, self.embedding)
        self.next_sentence = NextSentence(config.width) if config.next_sentence else None
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

        ``token_types`` says which of two joined texts a token belongs to; all are of the first where not given.
        """
        if state is not None:
            raise Unsupported("an encoder reads a whole text at once", received="a state", expected="state=None")
        x = embedded(self, tokens, embeddings)
        layout = plain_layout(x, causal=False, lengths=lengths, segments=segments)
        if token_types is None:
            token_types = torch.zeros(1, 1, dtype=torch.long, device=x.device)
        x = self.dropout(self.norm(x + self.token_types(token_types) + self.positions(layout.positions)))
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        for block in self.blocks:
            if "hidden" in collected:
                collected["hidden"].append(x)
            x = block(x, layout, collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(x)
        return Output(x, collected=collected)


SIZES = {
    "bert-base": BertConfig(),
    "bert-large": BertConfig(width=1024, layers=24, heads=16, inner_width=4096),
}
"""Section 3 of the paper."""


def weight_map(config: BertConfig) -> WeightMap:
    """Between our names and those of ``BertForMaskedLM`` (``BertForPreTraining`` with ``next_sentence``): q, k and v
    are one matrix here."""
    layer, head = "bert.encoder.layer.{i}.", "cls.predictions."
    own = layer + "attention.self."
    modules = [
        ("norm", "bert.embeddings.LayerNorm"),
        ("blocks.{i}.attention.output", layer + "attention.output.dense"),
        ("blocks.{i}.attention_norm", layer + "attention.output.LayerNorm"),
        ("blocks.{i}.feedforward.up", layer + "intermediate.dense"),
        ("blocks.{i}.feedforward.down", layer + "output.dense"),
        ("blocks.{i}.feedforward_norm", layer + "output.LayerNorm"),
        ("head.transform", head + "transform.dense"),
        ("head.norm", head + "transform.LayerNorm"),
    ]
    next_sentence = [("next_sentence.pooler", "bert.pooler.dense"), ("next_sentence.output", "cls.seq_relationship")]
    ignored = ["bert.embeddings.position_ids"]  # a buffer of old files
    if config.next_sentence:
        modules += next_sentence
    else:
        ignored += [f"{theirs}.{kind}" for _, theirs in next_sentence for kind in ("weight", "bias")]
    entries: list[Rename | Fuse] = [
        Rename("embedding.weight", "bert.embeddings.word_embeddings.weight"),
        Rename("positions.weight", "bert.embeddings.position_embeddings.weight"),
        Rename("token_types.weight", "bert.embeddings.token_type_embeddings.weight"),
    ]
    for kind in ("weight", "bias"):
        entries += [Rename(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in modules]
        projections = tuple(f"{own}{name}.{kind}" for name in ("query", "key", "value"))
        entries.append(Fuse(f"blocks.{{i}}.attention.qkv.{kind}", projections, (config.width,) * 3))
    if config.tied:
        entries.append(Rename("head.output.bias", head + "bias"))
        ignored += [head + "decoder.weight", head + "decoder.bias"]
        return WeightMap(tuple(entries), config.layers, ("head.output.weight",), tuple(ignored))
    entries += [Rename(f"head.output.{kind}", f"{head}decoder.{kind}") for kind in ("weight", "bias")]
    ignored.append(head + "bias")  # there, but added to nothing
    return WeightMap(tuple(entries), config.layers, (), tuple(ignored))
