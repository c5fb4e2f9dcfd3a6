"""What a T5 is made of, and how ``transformers`` keeps it: ``config.json`` of ``model_type`` t5 and mt5, and the names
of its tensors. The network is in ``t5.py``."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from trivium.errors import ConfigError, Unsupported
from trivium.models.head_format import Head, check_head, read_head, write_head
from trivium.nn.feedforward import Activation
from trivium.nn.weight_map import Fuse, Rename, WeightMap

FeedForwardKind = Literal["relu", "gated-gelu", "gated-silu"]

ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "gated-gelu": "gelu_tanh", "gated-silu": "silu"}
"""What ``feed_forward_proj`` may be, and the non-linearity that it means."""
_WRITTEN = {"relu": "relu", "gated-gelu": "gelu_new", "gated-silu": "silu"}  # as dense_act_fn; "gelu" is the exact one
_FAMILIES = {"t5": "T5", "mt5": "MT5"}


@dataclass(frozen=True, kw_only=True)
class T5Config:
    """Shape of a T5; the defaults are those of the 1.0 model of 60M parameters."""

    vocabulary_size: int = 32128
    """Number of pieces V."""
    width: int = 512
    """Width D of the residual stream."""
    layers: int = 6
    """Blocks of the encoder."""
    decoder_layers: int | None = None
    """Blocks of the decoder; as many as the encoder's where not given."""
    heads: int = 8
    """Attention heads H."""
    head_width: int = 64
    """Width K of a head; heads * head_width need not be the width."""
    inner_width: int = 2048
    """Width F of the feed-forward layer."""
    feedforward: FeedForwardKind = "relu"
    """Feed-forward layer: relu in 1.0, gated-gelu in 1.1."""
    buckets: int = 32
    """Buckets of relative distance."""
    furthest_tokens: int = 128
    """Distance from which on all share one bucket."""
    dropout: float = 0.1
    """Dropout, everywhere."""
    norm_epsilon: float = 1e-6
    """Added to the mean square in the norms."""
    tied: bool = True
    """Output weights are the embedding and logits are multiplied by D ** -0.5 (1.0); neither (1.1)."""
    start_id: int = 0
    """What the decoder is given first: the padding piece."""
    multilingual: bool = False
    """An mT5: the same network, saved under that name."""
    head: Head = "language"
    """What the network says; "none" is the encoder by itself, which gives vectors."""
    labels: tuple[str, ...] = ()
    """Names of the classes, tags or numbers, in the order of the head's outputs."""
    classifier_dropout: float = 0.0
    """Dropout in a head that classifies or tags."""

    def __post_init__(self) -> None:
        check_head(self.head, self.labels)
        if self.multilingual and self.tied:
            raise ConfigError(
                "an mT5 has an output matrix of its own", received="multilingual and tied", fix="set tied to false"
            )

    @property
    def context_tokens(self) -> None:
        """No limit: positions are relative."""
        return None

    @property
    def encoder_only(self) -> bool:
        """Whether the head needs no decoder."""
        return self.head in ("tagging", "none")

    @property
    def depth_of_decoder(self) -> int:
        """Blocks of the decoder."""
        if self.encoder_only:
            return 0
        return self.layers if self.decoder_layers is None else self.decoder_layers

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "T5Config":
        """From a ``config.json`` of ``model_type`` t5 or mt5; ``Unsupported`` for what this file does not compute."""
        return cls(**_read(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return _written(self)


def _gated(width: int, layers: int, heads: int, inner_width: int) -> T5Config:
    return T5Config(
        width=width, layers=layers, heads=heads, inner_width=inner_width, feedforward="gated-gelu", tied=False
    )


_SECOND = {  # the shapes of 1.1, which mT5 has as well
    "small": _gated(512, 8, 6, 1024),
    "base": _gated(768, 12, 12, 2048),
    "large": _gated(1024, 24, 16, 2816),
    "xl": _gated(2048, 24, 32, 5120),
    "xxl": _gated(4096, 24, 64, 10240),
}
SIZES = {
    "t5-small": T5Config(),
    "t5-base": T5Config(width=768, layers=12, heads=12, inner_width=3072),
    "t5-large": T5Config(width=1024, layers=24, heads=16, inner_width=4096),
    "t5-3b": T5Config(width=1024, layers=24, heads=32, head_width=128, inner_width=16384),
    "t5-11b": T5Config(width=1024, layers=24, heads=128, head_width=128, inner_width=65536),
    **{f"t5-v1.1-{size}": config for size, config in _SECOND.items()},
    **{f"mt5-{size}": replace(c, vocabulary_size=250112, multilingual=True) for size, c in _SECOND.items()},
    "ul2": T5Config(
        width=4096,
        layers=32,
        heads=16,
        head_width=256,
        inner_width=16384,
        feedforward="gated-silu",
        dropout=0.0,
        tied=False,
    ),
}
"""Raffel et al. 2020, section 3.7; Xue et al. 2021 (mT5); Tay et al. 2022 (UL2); as their files have them. What was
adapted to language modelling (Lester et al. 2021) and FLAN-T5 (Chung et al. 2022) are 1.1 trained on and have its
shapes; FLAN-UL2 has UL2's."""


def _read(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``T5Config``; ``Unsupported`` for a network that is not in ``t5.py``."""
    kind = config.get("model_type", "t5")
    multilingual = kind == "mt5"
    head = _head(config, _FAMILIES[kind])
    if config.get("is_decoder"):
        raise Unsupported("T5 as a decoder alone", received="is_decoder: true")
    if config.get("is_encoder_decoder") is False and head["head"] not in ("none", "tagging"):
        raise Unsupported("T5 without its decoder", received="is_encoder_decoder: false", expected=f"{kind} encoder")
    return {
        "vocabulary_size": config.get("vocab_size", 250112 if multilingual else 32128),
        "width": config.get("d_model", 512),
        "layers": config.get("num_layers", 8 if multilingual else 6),
        "decoder_layers": config.get("num_decoder_layers"),
        "heads": config.get("num_heads", 6 if multilingual else 8),
        "head_width": config.get("d_kv", 64),
        "inner_width": config.get("d_ff", 1024 if multilingual else 2048),
        "feedforward": _feedforward(config, "gated-gelu" if multilingual else "relu"),
        "buckets": config.get("relative_attention_num_buckets", 32),
        "furthest_tokens": config.get("relative_attention_max_distance", 128),
        "dropout": config.get("dropout_rate", 0.1),
        "classifier_dropout": config.get("classifier_dropout", 0.0),
        "norm_epsilon": config.get("layer_norm_epsilon", 1e-6),
        "tied": _tied(config, multilingual),
        "start_id": config.get("decoder_start_token_id") or 0,
        "multilingual": multilingual,
        **head,
    }


def _written(config: T5Config) -> dict[str, Any]:
    """What ``_read`` reads back to an equal ``T5Config``."""
    kind = "mt5" if config.multilingual else "t5"
    family = _FAMILIES[kind]
    hf = {
        "model_type": kind,
        "is_encoder_decoder": not config.encoder_only,
        "vocab_size": config.vocabulary_size,
        "d_model": config.width,
        "num_layers": config.layers,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.heads,
        "d_kv": config.head_width,
        "d_ff": config.inner_width,
        "feed_forward_proj": config.feedforward,
        "dense_act_fn": _WRITTEN[config.feedforward],
        "is_gated_act": config.feedforward.startswith("gated"),
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.furthest_tokens,
        "dropout_rate": config.dropout,
        "classifier_dropout": config.classifier_dropout,
        "layer_norm_epsilon": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "decoder_start_token_id": config.start_id,
    }
    if config.head == "none":
        return {**hf, "architectures": [f"{family}EncoderModel"]}
    return {**hf, **write_head(config, family, language="ForConditionalGeneration")}


def _head(config: dict[str, Any], family: str) -> dict[str, Any]:
    """The head; without one a T5 is the encoder, which is what ``transformers`` embeds texts with."""
    architectures = config.get("architectures") or []
    if architectures == [f"{family}EncoderModel"]:
        return {"head": "none", "labels": ()}
    if architectures == [f"{family}Model"]:
        raise Unsupported(
            "both stacks of a T5 without a head", received=f"{family}Model", expected=f"{family}EncoderModel"
        )
    # The second is what transformers 2 called it; the files of the largest two still say so.
    return read_head(config, family, language=("ForConditionalGeneration", "WithLMHeadModel"))


def _feedforward(config: dict[str, Any], default: str) -> str:
    """The kind of feed-forward layer. ``feed_forward_proj`` tells it; where newer files spell it out in two more
    fields, those decide in ``transformers``, so they must say the same."""
    kind = config.get("feed_forward_proj", default)
    if kind not in ACTIVATIONS:
        raise Unsupported("feed_forward_proj", received=kind, expected=", ".join(ACTIVATIONS))
    for name, meant in (("is_gated_act", kind.startswith("gated")), ("dense_act_fn", _WRITTEN[kind])):
        if config.get(name, meant) != meant:
            raise Unsupported(
                f"{name} that is not that of feed_forward_proj", received=config[name], expected=f"{meant} for {kind}"
            )
    return kind


def _tied(config: dict[str, Any], multilingual: bool) -> bool:
    """Whether the output is the embedding, scaled. transformers 5 writes tie_word_embeddings: true into every file, and
    keeps what 4 meant by it under another name, for t5 alone: every published mt5 has an output matrix of its own."""
    if multilingual:
        return False
    return config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))


def weight_map(config: T5Config) -> WeightMap:
    """Between our names and those of ``transformers``: q, k, v are one matrix here, gate and up too."""
    body = "transformer." if config.head in ("classification", "regression", "tagging") else ""
    entries: list[Rename | Fuse] = [Rename("embedding.weight", f"{body}shared.weight")]
    stacks = [("encoder", 0, config.layers)]
    if not config.encoder_only:
        stacks.append(("decoder", config.layers, config.depth_of_decoder))
    for stack, first, count in stacks:
        theirs = f"{body}{stack}"
        table = f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        entries.append(Rename(f"{stack}_bias.weight", table))
        entries.append(Rename(f"{stack}_norm.weight", f"{theirs}.final_layer_norm.weight"))
        for i in range(count):
            entries += _block_entries(config, f"blocks.{first + i}", f"{theirs}.block.{i}", decoder=stack == "decoder")
    # Copies of the shared embedding, and a table that no layer reads, in old files.
    unread = ("embed_tokens", "block.0.layer.1.EncDecAttention.relative_attention_bias")
    ignored = tuple(f"{body}{stack}.{name}.weight" for stack in ("encoder", "decoder") for name in unread)
    if config.head == "language" and config.tied:
        return WeightMap(tuple(entries), 0, ("head.weight",), (*ignored, "lm_head.weight"))
    return WeightMap((*entries, *_head_entries(config.head)), 0, (), ignored)


def _head_entries(head: str) -> list[Rename]:
    both = ("weight", "bias")
    if head == "language":
        return [Rename("head.weight", "lm_head.weight")]
    if head == "tagging":
        return [Rename(f"tag.output.{name}", f"classifier.{name}") for name in both]
    if head == "span":
        return [Rename(f"span.output.{name}", f"qa_outputs.{name}") for name in both]
    if head in ("classification", "regression"):
        pairs = (("transform.linear", "dense"), ("output", "out_proj"))
        return [Rename(f"classify.{a}.{name}", f"classification_head.{b}.{name}") for a, b in pairs for name in both]
    return []


def _block_entries(config: T5Config, ours: str, theirs: str, *, decoder: bool) -> list[Rename | Fuse]:
    inner, feedforward = config.heads * config.head_width, config.inner_width
    own = f"{theirs}.layer.0.SelfAttention"
    entries: list[Rename | Fuse] = [
        Rename(f"{ours}.attention_norm.weight", f"{theirs}.layer.0.layer_norm.weight"),
        Fuse(f"{ours}.attention.qkv.weight", tuple(f"{own}.{name}.weight" for name in "qkv"), (inner, inner, inner)),
        Rename(f"{ours}.attention.output.weight", f"{own}.o.weight"),
    ]
    if decoder:
        cross, pair = f"{theirs}.layer.1.EncDecAttention", f"{ours}.cross_attention"
        entries += [
            Rename(f"{ours}.cross_attention_norm.weight", f"{theirs}.layer.1.layer_norm.weight"),
            Rename(f"{pair}.query.weight", f"{cross}.q.weight"),
            Fuse(f"{pair}.key_value.weight", (f"{cross}.k.weight", f"{cross}.v.weight"), (inner, inner)),
            Rename(f"{pair}.output.weight", f"{cross}.o.weight"),
        ]
    last = f"{theirs}.layer.{2 if decoder else 1}"
    entries.append(Rename(f"{ours}.feedforward_norm.weight", f"{last}.layer_norm.weight"))
    if config.feedforward.startswith("gated"):
        gates = (f"{last}.DenseReluDense.wi_0.weight", f"{last}.DenseReluDense.wi_1.weight")
        entries.append(Fuse(f"{ours}.feedforward.gate_up.weight", gates, (feedforward, feedforward)))
    else:
        entries.append(Rename(f"{ours}.feedforward.up.weight", f"{last}.DenseReluDense.wi.weight"))
    entries.append(Rename(f"{ours}.feedforward.down.weight", f"{last}.DenseReluDense.wo.weight"))
    return entries
