"""The windows in the ``config.json`` of Qwen 2 and 3."""

from collections.abc import Mapping
from typing import Any

from trivium.models.decoder_format import read_window_layers, write_layer_types


def read_windows(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """``window_tokens`` and ``window_layers``: those that ``layer_types`` names, in older files those from
    ``max_window_layers`` on, and none unless ``use_sliding_window`` says so."""
    window = config.get("sliding_window", 4096) if config.get("use_sliding_window") else None
    first = config.get("max_window_layers", 28)
    window_layers = read_window_layers(config, layers, lambda layer: window is not None and layer >= first)
    return {"window_tokens": window, "window_layers": window_layers}


def write_windows(config: Any) -> dict[str, Any]:
    """What ``read_windows`` reads back."""
    return {
        "use_sliding_window": config.window_tokens is not None,
        "sliding_window": config.window_tokens,
        "max_window_layers": min(config.window_layers, default=config.layers),
        "layer_types": write_layer_types(config.window_layers, config.layers),
    }
