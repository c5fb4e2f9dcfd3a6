"""``config.json`` and weight maps of BERT and of the encoders that are built like it, as ``transformers`` writes them.

A configuration of the kind has the fields of ``BertConfig``; RoBERTa and ERNIE add to them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trivium.errors import ConfigError, Unsupported
from trivium.models.head_format import check_head
from trivium.nn.feedforward import Activation
from trivium.nn.weight_map import Entry, Fuse, Rename, WeightMap

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}


def check(config: Any) -> None:
    """``ConfigError`` for heads that do not divide the width, and for labels without a head or the reverse."""
    if config.width % config.heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {config.width}, heads {config.heads}",
            fix=f"choose a width that is a multiple of {config.heads}",
        )
    check_head(config.head, config.labels)


def read(config: Mapping[str, Any], *, vocabulary_size: int = 30522) -> dict[str, Any]:
    """The fields that all have; ``vocabulary_size`` is the family's where nothing is said.

    Raises ``Unsupported`` for what these networks do not compute.
    """
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise Unsupported("hidden_act", received=activation, expected=", ".join(_ACTIVATIONS))
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise Unsupported("position_embedding_type", received=config["position_embedding_type"], expected="absolute")
    for name in ("is_decoder", "add_cross_attention"):
        if config.get(name):
            raise Unsupported(f"an encoder as a decoder ({name})", received="true", expected="false")
    if config.get("pruned_heads"):
        raise Unsupported("pruned_heads", received=config["pruned_heads"], expected="none")
    return {
        "vocabulary_size": config.get("vocab_size", vocabulary_size),
        "width": config.get("hidden_size", 768),
        "layers": config.get("num_hidden_layers", 12),
        "heads": config.get("num_attention_heads", 12),
        "inner_width": config.get("intermediate_size", 3072),
        "context_tokens": config.get("max_position_embeddings", 512),
        "token_types": config.get("type_vocab_size", 2),
        "activation": _ACTIVATIONS[activation],
        "dropout": config.get("hidden_dropout_prob", 0.1),
        "attention_dropout": config.get("attention_probs_dropout_prob", 0.1),
        "head_dropout": config.get("classifier_dropout"),
        "norm_epsilon": config.get("layer_norm_eps", 1e-12),
        "tied": config.get("tie_word_embeddings", True),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    return {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.inner_width,
        "max_position_embeddings": config.context_tokens,
        "type_vocab_size": config.token_types,
        "hidden_act": theirs[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "classifier_dropout": config.head_dropout,
        "layer_norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
    }


def with_stored_pooler(config: Any, names: Collection[str]) -> Any:
    """A bare body may have been saved without its pooler, which only the names of its tensors tell."""
    stored = any(name.endswith("pooler.dense.weight") for name in names)
    return replace(config, pooler=False) if config.head == "none" and not stored else config


def prefix(config: Any, body: str) -> str:
    """What the names of the body's tensors begin with: a bare body's are saved without its name."""
    return "" if config.head == "none" else body


def modules(pairs: Sequence[tuple[str, str]]) -> list[Entry]:
    """Weight and bias of each pair of modules, ours and theirs."""
    return [Rename(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in pairs for kind in ("weight", "bias")]


def body_entries(config: Any, body: str) -> list[Entry]:
    """Embeddings and blocks, without the pooler; q, k and v are one matrix here."""
    embeddings, layer = body + "embeddings.", body + "encoder.layer.{i}."
    entries: list[Entry] = [
        Rename("embedding.weight", embeddings + "word_embeddings.weight"),
        Rename("positions.weight", embeddings + "position_embeddings.weight"),
        Rename("token_types.weight", embeddings + "token_type_embeddings.weight"),
    ]
    entries += modules(
        [
            ("norm", embeddings + "LayerNorm"),
            ("blocks.{i}.attention.output", layer + "attention.output.dense"),
            ("blocks.{i}.attention_norm", layer + "attention.output.LayerNorm"),
            ("blocks.{i}.feedforward.up", layer + "intermediate.dense"),
            ("blocks.{i}.feedforward.down", layer + "output.dense"),
            ("blocks.{i}.feedforward_norm", layer + "output.LayerNorm"),
        ]
    )
    for kind in ("weight", "bias"):
        projections = tuple(f"{layer}attention.self.{name}.{kind}" for name in ("query", "key", "value"))
        entries.append(Fuse(f"blocks.{{i}}.attention.qkv.{kind}", projections, (config.width,) * 3))
    return entries


def output_map(config: Any, entries: Sequence[Entry], decoder: str, ignored: Sequence[str]) -> WeightMap:
    """The whole map of a network that predicts tokens: ``entries`` and the output matrix with its bias, which are
    ``decoder`` + "decoder.weight" and "bias"."""
    if config.tied:
        bias = Rename("head.output.bias", decoder + "bias")
        copies = (decoder + "decoder.weight", decoder + "decoder.bias")
        return WeightMap((*entries, bias), config.layers, ("head.output.weight",), (*ignored, *copies))
    output = modules([("head.output", decoder + "decoder")])
    # Their other bias is there, but added to nothing.
    return WeightMap((*entries, *output), config.layers, (), (*ignored, decoder + "bias"))


def pretrained_map(config: Any, body: str, more: Sequence[Entry] = ()) -> WeightMap:
    """The whole map of BERT and ERNIE, whose heads have the same names; ``more`` are a family's own tensors."""
    body = prefix(config, body)
    entries = [*body_entries(config, body), *more]
    pooler, next_sentence = (("pooler.linear", body + "pooler.dense"), ("next_sentence.output", "cls.seq_relationship"))
    # What published files hold beside: a buffer, and of networks that were trained with more heads the others'.
    ignored = [body + "embeddings.position_ids"]
    if config.pools:
        entries += modules([pooler])
    else:
        ignored += [f"{body}pooler.dense.{kind}" for kind in ("weight", "bias")]
    if config.head in ("language", "pretraining"):
        predictions = "cls.predictions."
        entries += modules(
            [("head.transform", predictions + "transform.dense"), ("head.norm", predictions + "transform.LayerNorm")]
        )
        if config.head == "pretraining":
            entries += modules([next_sentence])
        else:
            ignored += [f"cls.seq_relationship.{kind}" for kind in ("weight", "bias")]
        whole = output_map(config, entries, predictions, ignored)
    else:
        heads = {"classification": "classify", "regression": "classify", "tagging": "tag"}
        if config.head in heads:
            entries += modules([(heads[config.head] + ".output", "classifier")])
        elif config.head == "span":
            entries += modules([("span.output", "qa_outputs")])
        whole = WeightMap(tuple(entries), config.layers, (), tuple(ignored))
    return replace(whole, tied=whole.tied + _shared_pooler(config))


def _shared_pooler(config: Any) -> tuple[str, ...]:
    """The names under which the pooler is found a second time, inside the head that stands on it."""
    seats = {"classification": "classify", "regression": "classify", "pretraining": "next_sentence"}
    if config.head not in seats:
        return ()
    return tuple(f"{seats[config.head]}.transform.linear.{kind}" for kind in ("weight", "bias"))
