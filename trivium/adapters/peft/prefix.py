"""PREFIX_TUNING. A prefix is saved as it came out of its projection, if it had one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.peft.form import Form, Tensors
from trivium.adapters.prefix import Prefix, PrefixConfig

_PROMPT = "prompt_embeddings"


def _prefix(model: nn.Module, name: str) -> Prefix:
    prefix = adapters_of(model).prompts[name]
    assert isinstance(prefix, Prefix)
    return prefix


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    layers, heads, tokens, head_width = _prefix(model, name).keys.shape
    return {
        "num_virtual_tokens": tokens,
        "num_layers": layers,
        "num_attention_heads": heads,
        "token_dim": heads * head_width,
        "encoder_hidden_size": heads * head_width,
        "num_transformer_submodules": 1,
        "prefix_projection": False,
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> PrefixConfig:
    return PrefixConfig(tokens=options["num_virtual_tokens"])


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """``[P, L * 2 * H * K]``: for each position the keys, then the values, of layer after layer."""
    prefix = _prefix(model, name)
    pairs = torch.stack([prefix.keys.detach(), prefix.values.detach()], dim=1)  # [L, 2, H, P, K]
    return {_PROMPT: pairs.permute(3, 0, 1, 2, 4).reshape(prefix.tokens, -1)}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    prefix = _prefix(model, name)
    layers, heads, tokens, head_width = prefix.keys.shape
    pairs = tensors[_PROMPT].view(tokens, layers, 2, heads, head_width).permute(2, 1, 3, 0, 4)
    prefix.keys.copy_(pairs[0])
    prefix.values.copy_(pairs[1])


PREFIX_TUNING = Form(
    peft_type="PREFIX_TUNING",
    config=PrefixConfig,
    needed=frozenset({"num_virtual_tokens"}),
    read=frozenset(),
    without_effect=frozenset(
        {
            "encoder_hidden_size",
            "num_attention_heads",
            "num_layers",
            "num_transformer_submodules",
            "prefix_projection",
            "token_dim",
        }
    ),
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
