"""The formats there are, and the way through one of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of, has_adapters
from trivium.adapters.attach import attach, remove
from trivium.adapters.peft.bottleneck import TRIVIUM_ADAPTER_FUSION, TRIVIUM_BOTTLENECK, TRIVIUM_PARALLEL_ADAPTER
from trivium.adapters.peft.extended import EXTENDED_IA3, EXTENDED_LORA
from trivium.adapters.peft.form import Form, check_options, check_shapes, without_base
from trivium.adapters.peft.ia3 import IA3
from trivium.adapters.peft.llama_adapter import ADAPTION_PROMPT, TRIVIUM_LLAMA_ADAPTER
from trivium.adapters.peft.lora import LORA
from trivium.adapters.peft.prefix import PREFIX_TUNING
from trivium.adapters.peft.soft_prompt import P_TUNING, PROMPT_TUNING
from trivium.adapters.peft.trained_copy import TRIVIUM_TRAINED_COPY
from trivium.adapters.peft.trained_tokens import TRAINABLE_TOKENS
from trivium.errors import CheckpointError, Unsupported
from trivium.models import architecture
from trivium.models.scored import ScoredConfig

FORMS: tuple[Form, ...] = (
    EXTENDED_LORA,
    LORA,
    EXTENDED_IA3,
    IA3,
    PREFIX_TUNING,
    PROMPT_TUNING,
    P_TUNING,
    TRIVIUM_BOTTLENECK,
    TRIVIUM_ADAPTER_FUSION,
    TRIVIUM_PARALLEL_ADAPTER,
    ADAPTION_PROMPT,
    TRIVIUM_LLAMA_ADAPTER,
    TRAINABLE_TOKENS,
    TRIVIUM_TRAINED_COPY,
)
"""Settings that two formats have are written by the first, which may name the other as their ``peft_type``."""
_TASKS = {"decoder": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM"}
_SCORING = "SEQ_CLS"
"""Of a language model under a head of scores, which PEFT then trains beside the adapter."""


def to_peft(model: nn.Module, name: str, *, base: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """``adapter_config.json`` and the tensors of one adapter; ``base`` is the path or id of the frozen model."""
    adapters = adapters_of(model)
    adapters.require(name)
    form = next(form for form in FORMS if isinstance(adapters.configs[name], form.config))
    kind = architecture(model.config.to_hf()["model_type"]).kind
    common = {
        "peft_type": form.peft_type,
        "base_model_name_or_path": base,
        "task_type": _SCORING if isinstance(model.config, ScoredConfig) else _TASKS.get(kind),
        "inference_mode": True,
    }
    return common | form.to_options(model, name), form.tensors(model, name)


def from_peft(model: nn.Module, name: str, options: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Attach the adapter that PEFT's ``adapter_config.json`` and ``tensors`` describe, under ``name``.

    ``Unsupported`` for options that would change the result and are not computed here, ``CheckpointError`` where
    tensors and configuration do not fit each other or the model, which is then as it was.
    """
    kind = options.get("peft_type")
    form = next((form for form in FORMS if form.peft_type == kind), None)
    if form is None:
        expected = ", ".join(form.peft_type for form in FORMS)
        raise Unsupported("this kind of PEFT adapter", received=kind, expected=expected)
    check_options(form, options)
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    before = adapters_of(model).routing.active if has_adapters(model) else None
    attach(model, name, form.from_options(model, form.settled(model, options, tensors)))
    try:
        tensors = without_base(form.base_tensors(model, name), tensors)
        check_shapes({key: tensor.shape for key, tensor in form.tensors(model, name).items()}, tensors)
    except CheckpointError:
        _undo(model, name, before, trained)
        raise
    with torch.no_grad():
        form.fill(model, name, tensors)


def _undo(model: nn.Module, name: str, active: str | None, trained: set[nn.Parameter]) -> None:
    """The model as it was before ``name`` was attached."""
    remove(model, name)
    adapters = adapters_of(model)
    adapters.routing.active = active
    if not adapters.configs:
        del model.adapters
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)
