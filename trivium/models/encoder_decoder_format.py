"""An encoder and a decoder in the words that Marian's and BART's files share: shape in ``config.json``, and tensors."""

from typing import Any

from trivium.errors import Unsupported
from trivium.nn.feedforward import Activation
from trivium.nn.weight_map import Fuse, Rename

# The last name of each is the one written.
_ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def read_shape(config: dict[str, Any]) -> dict[str, Any]:
    """The fields that a configuration of either family has; ``Unsupported`` for stacks that differ in more than depth
    and for layers that are left out by chance."""
    activation = config.get("activation_function", "gelu")
    if activation not in _ACTIVATIONS:
        raise Unsupported("activation_function", received=activation, expected=", ".join(_ACTIVATIONS))
    for name, default in (("attention_heads", 16), ("ffn_dim", 4096)):
        encoder, decoder = (config.get(f"{stack}_{name}", default) for stack in ("encoder", "decoder"))
        if encoder != decoder:
            raise Unsupported(f"different encoder_{name} and decoder_{name}", received=f"{encoder} and {decoder}")
    for name in ("encoder_layerdrop", "decoder_layerdrop"):
        if config.get(name):
            raise Unsupported(name, received=config[name], expected="0")
    layers, decoder_layers = config.get("encoder_layers", 12), config.get("decoder_layers", 12)
    return {
        "width": config.get("d_model", 1024),
        "layers": layers,
        "decoder_layers": None if decoder_layers == layers else decoder_layers,
        "heads": config.get("encoder_attention_heads", 16),
        "inner_width": config.get("encoder_ffn_dim", 4096),
        "activation": _ACTIVATIONS[activation],
        "context_tokens": config.get("max_position_embeddings", 1024),
        "dropout": config.get("dropout", 0.1),
        "attention_dropout": config.get("attention_dropout", 0.0),
        "scale_embedding": config.get("scale_embedding", False),
    }


def write_shape(config: Any) -> dict[str, Any]:
    """What ``read_shape`` reads back to equal fields."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    both = {"layers": config.layers, "attention_heads": config.heads, "ffn_dim": config.inner_width}
    return {
        "d_model": config.width,
        **{f"encoder_{name}": value for name, value in both.items()},
        **{f"decoder_{name}": value for name, value in both.items()},
        "decoder_layers": config.depth_of_decoder,
        "activation_function": theirs[config.activation],
        "max_position_embeddings": config.context_tokens,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "scale_embedding": config.scale_embedding,
    }


def block_entries(width: int, ours: str, theirs: str, *, decoder: bool) -> list[Rename | Fuse]:
    """The tensors of one ``EncoderDecoderBlock`` of ours: q, k and v are one matrix here, k and v of the source too."""
    modules = [
        ("attention.output", "self_attn.out_proj"),
        ("attention_norm", "self_attn_layer_norm"),
        ("feedforward.up", "fc1"),
        ("feedforward.down", "fc2"),
        ("feedforward_norm", "final_layer_norm"),
    ]
    fused = [("attention.qkv", "self_attn", "qkv")]
    if decoder:
        modules += [
            ("cross_attention.query", "encoder_attn.q_proj"),
            ("cross_attention.output", "encoder_attn.out_proj"),
            ("cross_attention_norm", "encoder_attn_layer_norm"),
        ]
        fused.append(("cross_attention.key_value", "encoder_attn", "kv"))
    entries: list[Rename | Fuse] = []
    for kind in ("weight", "bias"):
        entries += [Rename(f"{ours}.{mine}.{kind}", f"{theirs}.{yours}.{kind}") for mine, yours in modules]
        for mine, yours, letters in fused:
            names = tuple(f"{theirs}.{yours}.{letter}_proj.{kind}" for letter in letters)
            entries.append(Fuse(f"{ours}.{mine}.{kind}", names, (width,) * len(letters)))
    return entries
