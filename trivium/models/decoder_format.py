"""``config.json`` and weight maps of decoders, as ``transformers`` writes them.

Most decoders since LLaMA name their tensors as it does, and differ in which of them there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trivium.errors import ConfigError, Unsupported
from trivium.nn.positions.rope import Rope
from trivium.nn.weight_map import Entry, Fuse, Rename, Stack, StackFused, WeightMap

Fields = Mapping[str, tuple[str, Any]]
"""Our field -> their field, and what it is where a file says nothing."""

_LLAMA_FIELDS: dict[str, tuple[str, Any]] = {
    "vocabulary_size": ("vocab_size", 32000),
    "width": ("hidden_size", 4096),
    "layers": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 32),
    "key_value_heads": ("num_key_value_heads", None),
    "inner_width": ("intermediate_size", 11008),
    "context_tokens": ("max_position_embeddings", 2048),
    "norm_epsilon": ("rms_norm_eps", 1e-6),
    "dropout": ("residual_dropout", 0.0),
    "attention_dropout": ("attention_dropout", 0.0),
    "tied": ("tie_word_embeddings", False),
}


def llama_fields(**absent: Any) -> dict[str, tuple[str, Any]]:
    """What the ``config.json`` of every decoder after LLaMA's pattern has; ``absent`` is what our fields are where a
    file says nothing, as far as it is not what LLaMA has there."""
    assert absent.keys() <= _LLAMA_FIELDS.keys(), absent
    return {ours: (theirs, absent.get(ours, usual)) for ours, (theirs, usual) in _LLAMA_FIELDS.items()}


def read_fields(config: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Our fields from a ``config.json``."""
    return {ours: config.get(theirs, default) for ours, (theirs, default) in fields.items()}


def write_fields(config: Any, fields: Fields) -> dict[str, Any]:
    """What ``read_fields`` reads back."""
    return {theirs: getattr(config, ours) for ours, (theirs, _) in fields.items()}


def write_llama(config: Any, fields: Fields, model_type: str, network: str) -> dict[str, Any]:
    """The ``config.json`` of a decoder after LLaMA's pattern; ``residual_dropout`` is ours and ignored elsewhere."""
    return {
        "model_type": model_type,
        "architectures": [network],
        **write_fields(config, fields),
        "num_key_value_heads": config.groups,
        "rope_parameters": config.rope.to_hf(),
        "hidden_act": "silu",
        # Where nothing is said they would be the published model's, beyond the end of a smaller vocabulary.
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id")),
    }


_FULL, _SLIDING = "full_attention", "sliding_attention"


def read_window_layers(config: Mapping[str, Any], layers: int, usual: Callable[[int], bool]) -> tuple[int, ...]:
    """The layers that see no further than a window, from ``layer_types``; ``usual`` says which they are in a file that
    is older than that field. ``Unsupported`` for other kinds of layer."""
    types = config.get("layer_types")
    if types is None:
        return tuple(layer for layer in range(layers) if usual(layer))
    if len(types) != layers or not set(types) <= {_FULL, _SLIDING}:
        raise Unsupported("layer_types", received=", ".join(types), expected=f"{_FULL} or {_SLIDING}, {layers} times")
    return tuple(layer for layer, kind in enumerate(types) if kind == _SLIDING)


def write_layer_types(window_layers: Sequence[int], layers: int) -> list[str]:
    """What ``read_window_layers`` reads back."""
    return [_SLIDING if layer in window_layers else _FULL for layer in range(layers)]


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


def check_window(window_tokens: int | None, window_layers: Sequence[int], layers: int) -> None:
    """``ConfigError`` for layers with a window of no width, and for ones that there are not."""
    if window_tokens is None and window_layers:
        raise ConfigError("the window of some layers has no width", fix="set window_tokens, or leave window_layers out")
    if window_tokens is not None and window_tokens < 1:
        raise ConfigError("window_tokens must be at least 1", received=window_tokens)
    if any(not 0 <= layer < layers for layer in window_layers):
        raise ConfigError("window_layers are counted from 0", received=window_layers, expected=f"below {layers}")


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


def llama_feedforward(inner_width: int, *, bias: bool = False, layer: str = "{i}") -> list[Entry]:
    """The gated ``mlp`` of every layer, or of the one whose number is given."""
    ours, theirs = f"blocks.{layer}.feedforward.", f"model.layers.{layer}.mlp."
    gate_up = fused(ours + "gate_up", (theirs + "gate_proj", theirs + "up_proj"), (inner_width, inner_width), bias=bias)
    return gate_up + modules([(ours + "down", theirs + "down_proj")], bias=bias)


def rope_of_whole_heads(config: Mapping[str, Any]) -> Rope:
    """The angles of a family whose heads turn as a whole. ``Unsupported`` where only a share of a head is to."""
    rope = Rope.from_hf(dict(config))
    share = config.get("partial_rotary_factor") if rope.turning_share is None else rope.turning_share
    if rope.kind != "proportional" and share not in (None, 1):
        raise Unsupported(
            "heads of this family turn as a whole",
            received=f"partial_rotary_factor {share}",
            expected="1, or none",
        )
    return rope


EXPERT_FIELDS: dict[str, tuple[str, Any]] = {
    "chosen_experts": ("num_experts_per_tok", 2),
    "balance_weight": ("router_aux_loss_coef", 0.001),
    "z_weight": ("router_z_loss_coef", 0.0),
    "capacity_factor": ("expert_capacity_factor", None),
}
"""What mixtures of experts have in common; the last two are ours and ignored elsewhere."""


def llama_experts(
    experts: int,
    inner_width: int,
    *,
    layer: str = "{i}",
    module: str = "mlp",
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
) -> list[Entry]:
    """Router and experts of every layer, or of the one whose number is given, as published files have them: one tensor
    an expert. ``names`` are those of an expert's gate, up and down."""
    ours, theirs = f"blocks.{layer}.feedforward.", f"model.layers.{layer}.{module}."
    gate, up, down = (f"{theirs}experts.{{e}}.{name}.weight" for name in names)
    return [
        Rename(f"{ours}router.logits.weight", f"{theirs}gate.weight"),
        StackFused(f"{ours}gate_up.weight", (gate, up), (inner_width, inner_width), experts),
        Stack(f"{ours}down.weight", down, experts),
    ]


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
