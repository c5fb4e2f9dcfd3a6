"""PREFIX_TUNING. A prefix is saved as it comes out of its projection, if it has one, and is plain when it is read."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.peft.form import Form, Tensors, refuse
from trivium.adapters.prefix import Prefix, PrefixConfig

_PROMPT = "prompt_embeddings"


def _prefix(model: nn.Module, name: str) -> Prefix:
    prefix = adapters_of(model).prompts[name]
    assert isinstance(prefix, Prefix)
    return prefix


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    prefix = _prefix(model, name)
    width = prefix.heads * prefix.head_width
    return {
        "num_virtual_tokens": prefix.tokens,
        "num_layers": prefix.layers,
        # PEFT means the heads of keys and values, where they are fewer than those of queries.
        "num_attention_heads": prefix.heads,
        "token_dim": width,
        "encoder_hidden_size": width,
        "num_transformer_submodules": 1,
        "prefix_projection": False,
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> PrefixConfig:
    config = PrefixConfig(tokens=options["num_virtual_tokens"])
    # The tensors' shape is a product, in which other heads would not be seen.
    ours = Prefix(model, config)
    expected = {"num_layers": ours.layers, "num_attention_heads": ours.heads}
    refuse({key: options[key] for key, value in expected.items() if options.get(key) not in (None, value)})
    return config


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    """``[P, L * 2 * G * K]``: for each position the keys, then the values, of layer after layer."""
    return {_PROMPT: _prefix(model, name).pairs().detach().clone()}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    _prefix(model, name).embeddings.copy_(tensors[_PROMPT])


PREFIX_TUNING = Form(
    peft_type="PREFIX_TUNING",
    config=PrefixConfig,
    needed=frozenset({"num_virtual_tokens"}),
    read=frozenset({"num_attention_heads", "num_layers"}),
    without_effect=frozenset(
        {
            "encoder_hidden_size",
            "init_weights",
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
