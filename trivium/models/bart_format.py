"""The ``config.json`` of BART (Lewis et al. 2020), as ``transformers`` writes it."""

from typing import Any

from trivium.errors import Unsupported
from trivium.models.encoder_decoder_format import read_shape, write_shape
from trivium.models.head_format import read_head, write_head


def read(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``BartConfig``; ``Unsupported`` for a network that is not in ``bart.py``."""
    shape = read_shape(config)
    _refuse_variants(config)
    start = config.get("decoder_start_token_id", 2)
    return {
        **shape,
        "vocabulary_size": config.get("vocab_size", 50265),
        "inner_dropout": config.get("activation_dropout", 0.0),
        "head_dropout": config.get("classifier_dropout", 0.0),
        "start_id": start,
        "end_id": _one_id(config.get("eos_token_id", start)),
        "pad_id": config.get("pad_token_id", 1),
        **read_head({"num_labels": 3, **config}, "Bart", language=("ForConditionalGeneration",)),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back to an equal ``BartConfig``."""
    return {
        "model_type": "bart",
        **write_head(config, "Bart", language="ForConditionalGeneration"),
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary_size,
        **write_shape(config),
        "activation_dropout": config.inner_dropout,
        "classifier_dropout": config.head_dropout,
        "tie_word_embeddings": True,
        "decoder_start_token_id": config.start_id,
        "eos_token_id": config.end_id,
        "pad_token_id": config.pad_id,
        # transformers forces the end id 2 where nothing is said; generation_config.json says what is wanted.
        "forced_eos_token_id": None,
    }


def _one_id(ids: int | list[int]) -> int:
    """The id that ends a text; ``Unsupported`` where there are several."""
    if isinstance(ids, list):
        if len(ids) != 1:
            raise Unsupported("several eos_token_id", received=ids, expected="one")
        return ids[0]
    return ids


def _refuse_variants(config: dict[str, Any]) -> None:
    """``Unsupported`` for fields that mean a network which is not in ``bart.py``."""
    wanted: dict[str, bool] = {
        "tie_word_embeddings": True,
        "normalize_before": False,  # this and the next four are of transformers 3 and 4
        "normalize_embedding": True,
        "add_final_layer_norm": False,
        "static_position_embeddings": False,
        "do_blenderbot_90_layernorm": False,
        "is_decoder": False,
    }
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise Unsupported(name, received=str(config[name]).lower(), expected=str(value).lower())
