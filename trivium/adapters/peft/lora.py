"""LORA. Their layers ``q_proj`` and ``v_proj`` are rows of our fused matrix and keep their own A and B, so nothing is
approximated in either direction."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.peft.form import PREFIX, Form, Tensors, refuse
from trivium.adapters.sites import sites


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: LoRAConfig = adapters_of(model).configs[name]
    return {
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilised,
        "target_modules": config.targets if isinstance(config.targets, str) else list(config.targets),
        "bias": "none",
        "fan_in_fan_out": any(site.transposed for site in sites(model)),
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> LoRAConfig:
    if options.get("bias", "none") != "none":
        refuse({"bias": options["bias"]})
    targets = options["target_modules"]
    return LoRAConfig(
        rank=options["r"],
        alpha=options["lora_alpha"],
        dropout=options.get("lora_dropout", 0.0),
        rank_stabilised=bool(options.get("use_rslora")),
        targets=targets if isinstance(targets, str) else tuple(sorted(targets)),
    )


def _matrices(model: nn.Module, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    for _, layer in holders(model, name):
        assert isinstance(layer, AdaptedLinear)
        for update in layer.updates_of(name):
            assert isinstance(update, LowRankUpdate)
            yield f"{PREFIX}{update.theirs}.lora_A.weight", update.A
            yield f"{PREFIX}{update.theirs}.lora_B.weight", update.B


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    return {key: matrix.detach().clone() for key, matrix in _matrices(model, name)}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    for key, matrix in _matrices(model, name):
        matrix.copy_(tensors[key])


LORA = Form(
    peft_type="LORA",
    config=LoRAConfig,
    needed=frozenset({"r", "lora_alpha", "target_modules"}),
    read=frozenset({"lora_dropout", "use_rslora", "bias"}),
    # How the base stores its matrices, and how weights were drawn or distributed.
    without_effect=frozenset(
        {
            "arrow_config",
            "corda_config",
            "ensure_weight_tying",
            "ephemeral_gpu_offload",
            "eva_config",
            "fan_in_fan_out",
            "init_lora_weights",
            "loftq_config",
            "lora_ga_config",
            "megatron_config",
            "megatron_core",
            "qalora_group_size",
        }
    ),
    to_options=_to_options,
    from_options=_from_options,
    tensors=_tensors,
    fill=_fill,
)
