"""What is held against ``transformers`` of one family of decoders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from trivium.models import Architecture, architecture
from trivium.nn.weight_map import load_into

VOCABULARY, CONTEXT = 97, 64

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": None,
}
"""In the words of most families."""


def published(theirs: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` of (the shapes of) its parameters, as ``save_pretrained`` names and cuts them: in files an expert has
    tensors of its own, which ``transformers`` 5 stacks when it reads them."""
    return revert_weight_conversion(theirs, dict(tensors))


@dataclass(frozen=True, kw_only=True)
class Family:
    """The classes of ``transformers``, and the configurations that are tried."""

    name: str
    """Of our architecture."""
    config: str
    model: str
    """Their classes."""
    cases: dict[str, dict[str, Any]]
    """Options by the name of the case, over ``shape``."""
    shape: dict[str, Any] = field(default_factory=lambda: SHAPE)
    """What all cases share."""
    unseen: tuple[str, ...] = ()
    """How the names of their parameters end whose gradients are 0, so that nothing but rounding could be compared."""

    @property
    def row(self) -> Architecture:
        """Ours in the table."""
        return architecture(self.name)

    def reference(self, case: str) -> nn.Module:
        """A tiny random model of ``transformers``, with weights large enough for every part to matter."""
        torch.manual_seed(3)
        settings = {**self.shape, "attn_implementation": "eager", **self.cases[case]}
        model = getattr(transformers, self.model)(getattr(transformers, self.config)(**settings))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 1 or "norm" in name or name.endswith("bias"):
                    parameter.add_(0.3 * torch.randn_like(parameter))
                else:
                    parameter.copy_(0.15 * torch.randn_like(parameter))
            for name, buffer in model.named_buffers():
                if name.endswith("correction_bias"):  # DeepSeek's, learned without a gradient
                    buffer.add_(0.3 * torch.randn_like(buffer))
        return model.eval()

    def ours(self, theirs: nn.Module) -> nn.Module:
        """The same model built from the reference's ``config.json`` and tensors."""
        config = self.row.config_class().from_hf(json.loads(theirs.config.to_json_string(use_diff=False)))
        model = self.row.model_class()(config).eval()
        tensors = published(theirs, theirs.state_dict())
        load_into(model, self.row.weight_map(config), tensors, tensors.__getitem__)
        return model
