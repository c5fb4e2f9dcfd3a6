"""PROMPT_TUNING and P_TUNING. Both store the vectors that the model reads: a prompt with an encoder is plain when it is
read, and a folder of either kind gives the same."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.peft.form import Form, Tensors, refuse
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.soft_prompt import SoftPrompt, SoftPromptConfig

_PROMPT = "prompt_embeddings"
_READ = frozenset({"num_transformer_submodules"})
# How large the base is, and how the vectors were drawn or made.
_WITHOUT_EFFECT = frozenset(
    {
        "encoder_dropout",
        "encoder_hidden_size",
        "encoder_num_layers",
        "encoder_reparameterization_type",
        "num_attention_heads",
        "num_layers",
        "prompt_tuning_init",
        "prompt_tuning_init_text",
        "token_dim",
        "tokenizer_kwargs",
        "tokenizer_name_or_path",
    }
)


def _prompt(model: nn.Module, name: str) -> SoftPrompt:
    prompt = adapters_of(model).prompts[name]
    assert isinstance(prompt, SoftPrompt)
    return prompt


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    tokens, width = _prompt(model, name).embeddings.shape
    return {
        "num_virtual_tokens": tokens,
        "token_dim": width,
        "num_transformer_submodules": 1,
        "prompt_tuning_init": "RANDOM",  # another would need a tokenizer to be opened
    }


def _to_encoder_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: PTuningConfig = adapters_of(model).configs[name]
    tokens, width = _prompt(model, name).embeddings.shape
    return {
        "num_virtual_tokens": tokens,
        "token_dim": width,
        "num_transformer_submodules": 1,
        "encoder_reparameterization_type": config.encoder.upper(),
        "encoder_hidden_size": config.hidden_width or width,
        "encoder_num_layers": config.layers,
        "encoder_dropout": config.dropout,
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> SoftPromptConfig:
    if options.get("num_transformer_submodules") not in (None, 1):  # a prompt for the encoder, and one for the decoder
        refuse({"num_transformer_submodules": options["num_transformer_submodules"]})
    return SoftPromptConfig(tokens=options["num_virtual_tokens"])


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """``[P, D]``."""
    return {_PROMPT: _prompt(model, name).vectors().detach().clone()}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    _prompt(model, name).embeddings.copy_(tensors[_PROMPT])


PROMPT_TUNING = Form(
    peft_type="PROMPT_TUNING",
    config=SoftPromptConfig,
    needed=frozenset({"num_virtual_tokens"}),
    read=_READ,
    without_effect=_WITHOUT_EFFECT,
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
P_TUNING = Form(
    peft_type="P_TUNING",
    config=PTuningConfig,
    needed=frozenset({"num_virtual_tokens"}),
    read=_READ,
    without_effect=_WITHOUT_EFFECT,
    to_options=_to_encoder_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
