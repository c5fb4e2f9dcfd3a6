"""The ``config.json`` of GLM (Du et al. 2022), as the code that was published with GLM-10B reads it."""

from typing import Any

from trivium.errors import ConfigError, Unsupported

_BLANKS = "blank_token_ids"  # ours: the published files leave it to the tokenizer which tokens are blanks


def read(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``GLMConfig``; ``Unsupported`` for a network that is not in ``glm.py``, ``ConfigError`` where the
    ids are not given that a blank begins with and is known by."""
    _refuse_others(config)
    for name in ("decoder_start_token_id", _BLANKS):
        if config.get(name) is None:
            raise ConfigError(
                f"config.json does not say {name}, and the published ones leave it to the tokenizer's files",
                fix='add "decoder_start_token_id" (the id of <|startofpiece|>) and '
                f'"{_BLANKS}" (those of [MASK], [sMASK] and [gMASK]) to config.json',
            )
    return {
        "vocabulary_size": config.get("vocab_size", 30592),
        "width": config.get("hidden_size", 1024),
        "layers": config.get("num_layers", 24),
        "heads": config.get("num_attention_heads", 16),
        "context_tokens": config.get("max_sequence_length", 512),
        "dropout": config.get("output_dropout_prob", 0.1),
        "embedding_dropout": config.get("embedding_dropout_prob", 0.1),
        "attention_dropout": config.get("attention_dropout_prob", 0.1),
        "norm_epsilon": config.get("layernorm_epsilon", 1e-5),
        "start_id": config["decoder_start_token_id"],
        "blank_ids": tuple(config[_BLANKS]),
    }


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back to an equal ``GLMConfig``."""
    return {
        "model_type": "glm",
        "architectures": ["GLMForConditionalGeneration"],
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "num_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_sequence_length": config.context_tokens,
        "output_dropout_prob": config.dropout,
        "embedding_dropout_prob": config.embedding_dropout,
        "attention_dropout_prob": config.attention_dropout,
        "layernorm_epsilon": config.norm_epsilon,
        "attention_scale": 1.0,
        "block_position_encoding": True,
        "relative_encoding": False,
        "output_predict": True,
        "decoder_start_token_id": config.start_id,
        _BLANKS: list(config.blank_ids),
    }


def _refuse_others(config: dict[str, Any]) -> None:
    """``Unsupported`` for GLM-4, and for variants of GLM that are not in ``glm.py``."""
    if "block_position_encoding" not in config:
        raise Unsupported(
            "GLM-4 is another network than GLM, and this release does not have it",
            received='model_type "glm" without block_position_encoding',
            expected="a config.json as published with GLM-10B, with num_layers and block_position_encoding",
        )
    wanted: dict[str, Any] = {"block_position_encoding": True, "relative_encoding": False, "spell_length": None}
    for name, value in wanted.items():
        if config.get(name, value) != value:
            raise Unsupported(name, received=str(config[name]).lower(), expected=str(value).lower())
    known = ["GLMForConditionalGeneration"], ["GLMModel"], None
    if config.get("architectures") not in known:
        raise Unsupported(
            "architectures", received=config["architectures"], expected="GLMForConditionalGeneration or GLMModel"
        )
