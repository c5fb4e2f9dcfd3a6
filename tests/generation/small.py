"""Small models of every kind that generates, in fp64, far from the near-ties of a fresh one."""

from typing import Any

import torch
from torch import nn

from trivium.models import architecture

V = 41
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"width": 24, "layers": 2, "heads": 3, "context_tokens": 32},
    "llama": {"width": 24, "layers": 2, "heads": 4, "key_value_heads": 2, "inner_width": 40, "context_tokens": 64},
    "lstm": {"width": 16, "layers": 2, "dropout": 0.0},
    "t5": {"width": 24, "layers": 2, "heads": 3, "head_width": 8, "inner_width": 40},
    "seq2seq": {"width": 12, "embedding_width": 10, "attention_width": 8},
}
PROMPTS = [[3, 7, 1, 9, 22], [5], [8, 2, 33], [4, 4, 17, 30, 6, 2, 19]]


def build(name: str) -> nn.Module:
    row = architecture(name)
    torch.manual_seed(3)
    model = row.model_class()(row.config_class()(vocabulary_size=V, **SHAPES[name])).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def start_of(model: nn.Module) -> int | None:
    kind = architecture(model.config.to_hf()["model_type"]).kind
    return model.config.start_id if kind.endswith("encoder-decoder") else None
