"""What ``config.json`` and the tensors of the decoders before LLaMA have in common, as ``transformers`` writes them."""

from typing import Any

from trivium.models.decoder_format import named
from trivium.nn.feedforward import Activation
from trivium.nn.weight_map import Entry, Rename, Transpose

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}

NO_SPECIAL_IDS: dict[str, Any] = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
"""Where a file says nothing they would be the published model's, beyond the end of a smaller vocabulary."""


def read_activation(name: str, value: Any) -> Activation:
    """Our word for the activation in the field ``name``; ``Unsupported`` for one that is not known."""
    return named(_ACTIVATIONS, name, value)


def write_activation(activation: Activation) -> str:
    """Theirs for ours."""
    return named({ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}, "activation", activation)


def conv1d_blocks() -> list[Entry]:
    """The blocks of GPT and GPT-2, whose linear layers are stored ``[in, out]``."""
    block, layer = "blocks.{i}.", "transformer.h.{i}."
    norms = [("attention_norm", "ln_1"), ("feedforward_norm", "ln_2")]
    linears = [
        ("attention.qkv", "attn.c_attn"),
        ("attention.output", "attn.c_proj"),
        ("feedforward.up", "mlp.c_fc"),
        ("feedforward.down", "mlp.c_proj"),
    ]
    return [
        *(Rename(f"{block}{ours}.weight", f"{layer}{theirs}.weight") for ours, theirs in norms),
        *(Transpose(f"{block}{ours}.weight", f"{layer}{theirs}.weight") for ours, theirs in linears),
        *(Rename(f"{block}{ours}.bias", f"{layer}{theirs}.bias") for ours, theirs in norms + linears),
    ]


def megatron_linears(layer: str, attention: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The linear layers of the blocks of GPT-NeoX, BLOOM and Falcon, ours and theirs: of the attention, which has that
    name in a ``layer``, and of the feed-forward layer."""
    block = "blocks.{i}."
    return (
        [
            (f"{block}attention.qkv", f"{layer}{attention}.query_key_value"),
            (f"{block}attention.output", f"{layer}{attention}.dense"),
        ],
        [
            (f"{block}feedforward.up", f"{layer}mlp.dense_h_to_4h"),
            (f"{block}feedforward.down", f"{layer}mlp.dense_4h_to_h"),
        ],
    )
