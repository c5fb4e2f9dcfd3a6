"""``config.json`` of ModernBERT, as transformers 4 and 5 write it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trivium.errors import Unsupported
from trivium.nn.feedforward import Activation
from trivium.nn.positions.rope import Rope

_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu"}
_POOLINGS: dict[str, Literal["first", "mean"]] = {"cls": "first", "mean": "mean"}
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_BASES = {_GLOBAL: ("global_rope_theta", 160_000.0), _LOCAL: ("local_rope_theta", 10_000.0)}
"""The base of the angles in old files, by the kind of layer, and what it is where nothing is said."""
_FIXED = {
    "attention_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "classifier_bias": False,
    "decoder_bias": True,
    "mlp_dropout": 0.0,
}
"""Options of the format that have one value here."""


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``ModernBertConfig`` but for the head; ``Unsupported`` for what the network does not compute."""
    activation, pooling = config.get("hidden_activation", "gelu"), config.get("classifier_pooling", "cls")
    choices = {
        "hidden_activation": (activation, _ACTIVATIONS),
        "classifier_pooling": (pooling, _POOLINGS),
        "classifier_activation": (config.get("classifier_activation", "gelu"), ("gelu",)),
    } | {name: (config.get(name, value), (value,)) for name, value in _FIXED.items()}
    for name, (received, expected) in choices.items():
        if received not in expected:
            raise Unsupported(name, received=received, expected=", ".join(map(str, expected)))
    layers, ropes = config.get("num_hidden_layers", 22), _ropes(config)
    return {
        "vocabulary_size": config.get("vocab_size", 50368),
        "width": config.get("hidden_size", 768),
        "layers": layers,
        "heads": config.get("num_attention_heads", 12),
        "inner_width": config.get("intermediate_size", 1152),
        "context_tokens": config.get("max_position_embeddings", 8192),
        "global_every_layers": _rhythm(config, layers),
        "local_tokens": config.get("local_attention", 128),
        "global_rope": ropes[_GLOBAL],
        "local_rope": ropes[_LOCAL],
        "activation": _ACTIVATIONS[activation],
        "dropout": config.get("embedding_dropout", 0.0),
        "attention_dropout": config.get("attention_dropout", 0.0),
        "norm_epsilon": config.get("norm_eps", 1e-5),
        "tied": config.get("tie_word_embeddings", True),
        "pooling": _POOLINGS[pooling],
        "head_dropout": config.get("classifier_dropout", 0.0),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back; the rhythm of the layers and the bases of the angles in both spellings."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    ropes = {_GLOBAL: config.global_rope, _LOCAL: config.local_rope}
    return {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.inner_width,
        "max_position_embeddings": config.context_tokens,
        "global_attn_every_n_layers": config.global_every_layers,
        "layer_types": _layer_types(config.layers, config.global_every_layers),
        "local_attention": config.local_tokens,
        **{_BASES[kind][0]: rope.base for kind, rope in ropes.items()},
        "rope_parameters": {kind: rope.to_hf() for kind, rope in ropes.items()},
        "hidden_activation": theirs[config.activation],
        "embedding_dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "norm_eps": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "classifier_pooling": {ours: name for name, ours in _POOLINGS.items()}[config.pooling],
        "classifier_dropout": config.head_dropout,
        **_FIXED,
        # Where nothing is said they would be the base model's, beyond the end of a smaller vocabulary.
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")),
    }


def _layer_types(layers: int, every: int) -> list[str]:
    return [_LOCAL if layer % every else _GLOBAL for layer in range(layers)]


def _rhythm(config: Mapping[str, Any], layers: int) -> int:
    """How many layers a global one stands for: stated in old files, counted in new ones."""
    types: Sequence[str] | None = config.get("layer_types")
    if types is None:
        return config.get("global_attn_every_n_layers", 3)
    counted = types.index(_GLOBAL, 1) if _GLOBAL in types[1:] else max(len(types), 2)
    every = config.get("global_attn_every_n_layers", counted)
    if list(types) != _layer_types(layers, every):
        raise Unsupported("layer_types", received=", ".join(types), expected="a global layer first, then regularly")
    return every


def _ropes(config: Mapping[str, Any]) -> dict[str, Rope]:
    """The rotary positions of both kinds of layer, from ``rope_parameters`` (transformers 5) or from the two bases and
    ``rope_scaling`` (4), where a local base of null means the global one."""
    stated = config.get("rope_parameters") or {}
    if not set(stated) <= set(_BASES):
        raise Unsupported("rope_parameters", received=", ".join(stated), expected=" and ".join(_BASES))
    ropes, base = {}, 0.0
    for kind, (name, usual) in _BASES.items():
        said = config.get(name, usual)
        base = base if said is None else said
        angles = {"rope_theta": base, **(config.get("rope_scaling") or {}), **(stated.get(kind) or {})}
        ropes[kind] = Rope.from_hf({**config, "rope_parameters": angles})
    return ropes
