"""The ``config.json`` of Marian's models (Junczys-Dowmunt et al. 2018), as ``transformers`` writes it."""

from typing import Any

from trivium.errors import Unsupported
from trivium.nn.feedforward import Activation

# The last name of each is the one written.
_ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


def read(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``TransformerConfig``; ``Unsupported`` for a network that is not in ``transformer.py``."""
    activation = config.get("activation_function", "gelu")
    if activation not in _ACTIVATIONS:
        raise Unsupported("activation_function", received=activation, expected=", ".join(_ACTIVATIONS))
    _refuse_variants(config)
    shared = config.get("share_encoder_decoder_embeddings", True)
    source = config.get("vocab_size", 58101)
    target = source if shared else config.get("decoder_vocab_size") or source
    layers, decoder_layers = config.get("encoder_layers", 12), config.get("decoder_layers", 12)
    return {
        "vocabulary_size": target,
        "source_vocabulary_size": None if source == target else source,
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
        "sharing": "all" if shared else "target" if config.get("tie_word_embeddings", True) else "none",
        "start_id": config.get("decoder_start_token_id", 58100),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back to an equal ``TransformerConfig``."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    both = {"layers": config.layers, "attention_heads": config.heads, "ffn_dim": config.inner_width}
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": config.source_pieces,
        "decoder_vocab_size": config.vocabulary_size,
        "d_model": config.width,
        **{f"encoder_{name}": value for name, value in both.items()},
        **{f"decoder_{name}": value for name, value in both.items()},
        "decoder_layers": config.depth_of_decoder,
        "activation_function": theirs[config.activation],
        "max_position_embeddings": config.context_tokens,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": 0.0,
        "scale_embedding": config.scale_embedding,
        "share_encoder_decoder_embeddings": config.sharing == "all",
        "tie_word_embeddings": config.sharing != "none",
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.start_id,  # Marian's decoders begin with the piece that pads
    }


def _refuse_variants(config: dict[str, Any]) -> None:
    """``Unsupported`` for fields of a Marian configuration that mean a network which is not in this file."""
    for name, default in (("attention_heads", 16), ("ffn_dim", 4096)):
        encoder, decoder = (config.get(f"{stack}_{name}", default) for stack in ("encoder", "decoder"))
        if encoder != decoder:
            raise Unsupported(f"different encoder_{name} and decoder_{name}", received=f"{encoder} and {decoder}")
    for name in ("activation_dropout", "encoder_layerdrop", "decoder_layerdrop"):
        if config.get(name):
            raise Unsupported(name, received=config[name], expected="0")
    for name in ("normalize_before", "normalize_embedding", "add_final_layer_norm"):  # of transformers 3 and 4
        if config.get(name):
            raise Unsupported(name, received="true", expected="false")
    if not config.get("static_position_embeddings", True):  # of transformers 3 and 4
        raise Unsupported("learned positions", received="static_position_embeddings=false", expected="true")
    if config.get("share_encoder_decoder_embeddings", True) and not config.get("tie_word_embeddings", True):
        raise Unsupported("one embedding for source and target, and another matrix for the output")
