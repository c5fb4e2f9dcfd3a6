"""The ``config.json`` of Marian's models (Junczys-Dowmunt et al. 2018), as ``transformers`` writes it."""

from typing import Any

from trivium.errors import Unsupported
from trivium.models.encoder_decoder_format import read_shape, write_shape


def read(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``TransformerConfig``; ``Unsupported`` for a network that is not in ``transformer.py``."""
    shape = read_shape(config)
    _refuse_variants(config)
    shared = config.get("share_encoder_decoder_embeddings", True)
    source = config.get("vocab_size", 58101)
    target = source if shared else config.get("decoder_vocab_size") or source
    return {
        **shape,
        "vocabulary_size": target,
        "source_vocabulary_size": None if source == target else source,
        "sharing": "all" if shared else "target" if config.get("tie_word_embeddings", True) else "none",
        "start_id": config.get("decoder_start_token_id", 58100),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back to an equal ``TransformerConfig``."""
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": config.source_pieces,
        "decoder_vocab_size": config.vocabulary_size,
        **write_shape(config),
        "activation_dropout": 0.0,
        "share_encoder_decoder_embeddings": config.sharing == "all",
        "tie_word_embeddings": config.sharing != "none",
        "decoder_start_token_id": config.start_id,
        "pad_token_id": config.start_id,  # Marian's decoders begin with the piece that pads
    }


def _refuse_variants(config: dict[str, Any]) -> None:
    """``Unsupported`` for fields of a Marian configuration that mean a network which is not in this file."""
    if config.get("activation_dropout"):
        raise Unsupported("activation_dropout", received=config["activation_dropout"], expected="0")
    for name in ("normalize_before", "normalize_embedding", "add_final_layer_norm"):  # of transformers 3 and 4
        if config.get(name):
            raise Unsupported(name, received="true", expected="false")
    if not config.get("static_position_embeddings", True):  # of transformers 3 and 4
        raise Unsupported("learned positions", received="static_position_embeddings=false", expected="true")
    if config.get("share_encoder_decoder_embeddings", True) and not config.get("tie_word_embeddings", True):
        raise Unsupported("one embedding for source and target, and another matrix for the output")
