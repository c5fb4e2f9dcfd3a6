"""``config.json`` and weight maps of decoders, as ``transformers`` writes them.

Most decoders since LLaMA name their tensors as it does, and differ in which of them there are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trivium.errors import ConfigError, Unsupported
from trivium.nn.weight_map import Entry, Fuse, Rename, WeightMap

Fields = Mapping[str, tuple[str, Any]]
"""Our field -> their field, and what it is where a file says nothing."""


def read_fields(config: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Our fields from a ``config.json``."""
    return {ours: config.get(theirs, default) for ours, (theirs, default) in fields.items()}


def write_fields(config: Any, fields: Fields) -> dict[str, Any]:
    """What ``read_fields`` reads back."""
    return {theirs: getattr(config, ours) for ours, (theirs, _) in fields.items()}


def require(config: Mapping[str, Any], **only: Any) -> None:
    """``Unsupported`` where a ``config.json`` has another value than the one that is computed here; a field it does
    not have is taken to have that one."""
    for name, value in only.items():
        if config.get(name, value) != value:
            raise Unsupported(name, received=config[name], expected=value)


def named(table: Mapping[str, Any], name: str, value: Any) -> Any:
    """Our word for theirs (an activation); ``Unsupported`` for one that is not in ``table``."""
    if value not in table:
        raise Unsupported(name, received=value, expected=", ".join(map(str, table)))
    return table[value]


def check_heads(config: Any) -> None:
    """``ConfigError`` for heads that do not divide the width, and for key heads that do not divide the heads."""
    if vars(config).get("head_width") is None and config.width % config.heads:
        raise ConfigError(
            "the heads do not divide the width",
            received=f"width {config.width}, heads {config.heads}",
            fix=f"choose a width that is a multiple of {config.heads}",
        )
    groups = vars(config).get("key_value_heads") or config.heads
    if config.heads % groups:
        raise ConfigError(
            "the key-value heads do not divide the heads",
            received=f"heads {config.heads}, key_value_heads {groups}",
            fix="choose key_value_heads among the divisors of heads",
        )


def modules(pairs: Sequence[tuple[str, str]], *, bias: bool = True) -> list[Entry]:
    """The weight, and with ``bias`` the bias, of each pair of modules, ours and theirs."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return [Rename(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in pairs for kind in kinds]


def fused(ours: str, theirs: Sequence[str], sizes: Sequence[int], *, bias: bool = False) -> list[Entry]:
    """One linear layer of ours that is several of theirs, in their order."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return [Fuse(f"{ours}.{kind}", tuple(f"{each}.{kind}" for each in theirs), tuple(sizes)) for kind in kinds]


def llama_attention(sizes: Sequence[int], *, bias: bool = False, output_bias: bool = False) -> list[Entry]:
    """``self_attn`` of every layer; ``sizes`` are the rows of q, k and v."""
    layer = "model.layers.{i}.self_attn."
    entries = fused("blocks.{i}.attention.qkv", [f"{layer}{name}_proj" for name in "qkv"], sizes, bias=bias)
    return entries + modules([("blocks.{i}.attention.output", layer + "o_proj")], bias=output_bias)


def llama_feedforward(inner_width: int, *, bias: bool = False) -> list[Entry]:
    """The gated ``mlp`` of every layer."""
    ours, theirs = "blocks.{i}.feedforward.", "model.layers.{i}.mlp."
    gate_up = fused(ours + "gate_up", (theirs + "gate_proj", theirs + "up_proj"), (inner_width, inner_width), bias=bias)
    return gate_up + modules([(ours + "down", theirs + "down_proj")], bias=bias)


LLAMA_NORMS = {"attention_norm": "input_layernorm", "feedforward_norm": "post_attention_layernorm"}
"""The norms of a block, ours and theirs."""


def llama_map(
    config: Any,
    blocks: Sequence[Entry],
    *,
    norms: Mapping[str, str] = LLAMA_NORMS,
    norm_bias: bool = False,
    head_bias: bool = False,
    ignored: tuple[str, ...] = (),
) -> WeightMap:
    """The map of a decoder that is named as LLaMA: embedding, ``norms`` and other ``blocks`` entries, last norm, head.

    ``config`` has ``layers`` and ``tied``; ``ignored`` names tensors of old files that carry nothing.
    """
    pairs = [(f"blocks.{{i}}.{ours}", f"model.layers.{{i}}.{theirs}") for ours, theirs in norms.items()]
    entries = [
        Rename("embedding.weight", "model.embed_tokens.weight"),
        *modules([*pairs, ("norm", "model.norm")], bias=norm_bias),
        *blocks,
    ]
    return with_head(entries, config, "lm_head", bias=head_bias, ignored=ignored)


def with_head(
    entries: Sequence[Entry], config: Any, theirs: str, *, bias: bool = False, ignored: tuple[str, ...] = ()
) -> WeightMap:
    """The whole map of a decoder: ``entries`` and the output weights, which are not stored where they are tied."""
    head = [Rename("head.bias", f"{theirs}.bias")] if bias else []
    if config.tied:
        return WeightMap((*entries, *head), config.layers, ("head.weight",), (*ignored, f"{theirs}.weight"))
    return WeightMap((*entries, *head, Rename("head.weight", f"{theirs}.weight")), config.layers, (), ignored)
