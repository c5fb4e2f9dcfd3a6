"""ADAPTION_PROMPT, as PEFT calls LLaMA-Adapter, for what PEFT computes; TRIVIUM_LLAMA_ADAPTER for the rest."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.holder import base_modules, holders
from trivium.adapters.llama_adapter import GatedPrompt, LlamaAdapterConfig, PromptedAttention
from trivium.adapters.peft.form import PREFIX, Form, Tensors, refuse
from trivium.adapters.peft.own import own_form
from trivium.adapters.sites import sites
from trivium.errors import Unsupported
from trivium.nn.attention.rotary_attention import RotaryAttention
from trivium.nn.attention.self_attention import SelfAttention

TRIVIUM_LLAMA_ADAPTER = own_form("TRIVIUM_LLAMA_ADAPTER", LlamaAdapterConfig)

_THEIRS = {"llama": ("self_attn", True), "mistral": ("self_attn", True), "gpt2": ("attn", False)}
"""The families that PEFT knows: the name of their attention, and whether its output matrix is applied."""


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: LlamaAdapterConfig = adapters_of(model).configs[name]
    if not _as_peft(model, config):
        return TRIVIUM_LLAMA_ADAPTER.to_options(model, name) | {"peft_type": TRIVIUM_LLAMA_ADAPTER.peft_type}
    return {
        "adapter_len": config.tokens,
        "adapter_layers": sum(1 for _ in holders(model, name)),
        "target_modules": _THEIRS[_family(model)][0],
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> LlamaAdapterConfig:
    family = _family(model)
    if family not in _THEIRS or _differs(model):
        raise Unsupported(
            "this kind of PEFT adapter on this model",
            received=f"ADAPTION_PROMPT on {family}",
            expected=f"{', '.join(_THEIRS)}, with plainly scaled scores and no bias on the output matrix",
        )
    attention, projected = _THEIRS[family]
    if options.get("target_modules", attention) not in (attention, None):
        refuse({"target_modules": options["target_modules"]})
    return LlamaAdapterConfig(tokens=options["adapter_len"], layers=options["adapter_layers"], projected=projected)


def _family(model: nn.Module) -> str:
    return model.config.to_hf()["model_type"]


def _as_peft(model: nn.Module, config: LlamaAdapterConfig) -> bool:
    """Whether PEFT would compute what is computed here."""
    _, projected = _THEIRS.get(_family(model), ("", None))
    return projected is config.projected and not _differs(model)


def _differs(model: nn.Module) -> bool:
    """Whether PEFT computes something else here: it scales by 1 / sqrt(K) whatever the model does, guesses the heads
    from the shapes, and adds the bias of LLaMA's output matrix a second time."""
    modules = base_modules(model)
    attention, output = modules["blocks.0.attention"], modules["blocks.0.attention.output"]
    if isinstance(attention, SelfAttention):
        return attention.scale not in (None, attention.head_width**-0.5)
    assert isinstance(attention, RotaryAttention)
    even = attention.heads * attention.head_width == output.out_features
    return not even or output.bias is not None or attention.scale not in (None, attention.head_width**-0.5)


def _prompts(model: nn.Module, name: str) -> dict[str, GatedPrompt]:
    """By the published name of the attention."""
    theirs = {site.ours: site.theirs.rpartition(".")[0] for site in sites(model)}
    found = {}
    for path, holder in holders(model, name):
        assert isinstance(holder, PromptedAttention)
        found[PREFIX + theirs[f"{path.replace('.base', '')}.qkv"]] = holder.prompt(name)
    return found


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    if not _as_peft(model, adapters_of(model).configs[name]):
        return TRIVIUM_LLAMA_ADAPTER.tensors(model, name)
    stored = {}
    for attention, update in _prompts(model, name).items():
        stored[f"{attention}.adaption_prompt"] = update.prompt.detach()[None].clone()
        stored[f"{attention}.adaption_gate"] = update.gate.detach().clone()
    return stored


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    for attention, update in _prompts(model, name).items():
        update.prompt.copy_(tensors[f"{attention}.adaption_prompt"][0])
        update.gate.copy_(tensors[f"{attention}.adaption_gate"])


ADAPTION_PROMPT = Form(
    peft_type="ADAPTION_PROMPT",
    config=LlamaAdapterConfig,
    needed=frozenset({"adapter_len", "adapter_layers"}),
    read=frozenset({"target_modules"}),
    without_effect=frozenset(),
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
