"""What the ``config.json`` of all Gemmas has in common."""

from collections.abc import Mapping
from typing import Any

from trivium.errors import Unsupported
from trivium.models.decoder_format import named

_ACTIVATION = "gelu_pytorch_tanh"
ACTIVATION = {"hidden_act": _ACTIVATION, "hidden_activation": _ACTIVATION}
"""Their two names of the field."""


def check_gemma(config: Mapping[str, Any]) -> None:
    """``Unsupported`` for a non-linearity that is not the tanh approximation of GELU, and for attention in both
    directions."""
    # The first files say "gelu" and mean the approximation; later ones say so in a field of another name.
    stated = config.get("hidden_activation") or config.get("hidden_act", _ACTIVATION)
    named({_ACTIVATION: "gelu_tanh", "gelu": "gelu_tanh"}, "hidden_activation", stated)
    if config.get("use_bidirectional_attention"):
        raise Unsupported("attention in both directions", received="use_bidirectional_attention: true")


SANDWICH_NORMS = {
    "attention_norm": "input_layernorm",
    "attended_norm": "post_attention_layernorm",
    "feedforward_norm": "pre_feedforward_layernorm",
    "fed_norm": "post_feedforward_layernorm",
}
"""The norms of a block since Gemma 2, ours and theirs."""
