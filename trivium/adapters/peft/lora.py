"""LORA. Their layers ``q_proj`` and ``v_proj`` are rows of our fused matrix and keep their own A and B, so nothing is
approximated in either direction."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from trivium.adapters.adapted_embedding import AdaptedEmbedding, EmbeddingUpdate
from trivium.adapters.adapted_experts import ExpertsUpdate
from trivium.adapters.adapted_head import AdaptedHead
from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.dora import DecomposedUpdate
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.peft.form import PREFIX, Form, Tensors, refuse
from trivium.adapters.peft.targets import read_targets, write_targets
from trivium.adapters.pissa import PrincipalUpdate
from trivium.adapters.sites import sites

_HARMLESS_STARTS = (None, True, False, "gaussian", "orthogonal", "eva", "mica")
"""Values of ``init_lora_weights`` that leave the base as it was; others move a part of it into the adapter."""


def _to_options(model: nn.Module, name: str) -> dict[str, Any]:
    config: LoRAConfig = adapters_of(model).configs[name]
    # B A less what it began as is a LoRA of twice the rank, whose scale stays.
    more = 2 if config.start == "pissa" else 1
    growth = more**0.5 if config.rank_stabilised else more
    return {
        "r": config.rank * more,
        "lora_alpha": config.alpha * growth,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilised,
        "use_dora": config.decomposed,
        "lora_bias": config.bias,
        "init_lora_weights": "gaussian" if config.start == "gaussian" else True,
        "target_modules": write_targets(config.targets),
        "target_parameters": write_targets(config.parameters) or None,
        "exclude_modules": write_targets(config.exclude) or None,
        "layers_to_transform": list(config.layers) or None,
        "rank_pattern": {key: rank * more for key, rank in config.rank_pattern.items()},
        "alpha_pattern": {key: alpha * growth for key, alpha in config.alpha_pattern.items()},
        "bias": "none",
        "fan_in_fan_out": any(site.transposed and site.kind == "linear" for site in sites(model)),
    }


def _from_options(model: nn.Module, options: Mapping[str, Any]) -> LoRAConfig:
    wrong = {key: options[key] for key in ("bias",) if options.get(key, "none") != "none"}
    start, layers = options.get("init_lora_weights"), options.get("layers_to_transform")
    if start not in _HARMLESS_STARTS:
        wrong["init_lora_weights"] = start
    pattern = options.get("layers_pattern") or ()
    stacks = [pattern] if isinstance(pattern, str) else pattern
    if stacks and not all(
        any(f".{s}." in f".{site.theirs}" for s in stacks) for site in sites(model) if site.layer is not None
    ):
        wrong["layers_pattern"] = pattern
    if not options.get("target_modules") and not options.get("target_parameters"):
        wrong["target_modules"] = "none"
    refuse(wrong)
    return LoRAConfig(
        rank=options["r"],
        alpha=options["lora_alpha"],
        dropout=options.get("lora_dropout", 0.0),
        rank_stabilised=bool(options.get("use_rslora")),
        decomposed=bool(options.get("use_dora")),
        bias=bool(options.get("lora_bias")),
        start="gaussian" if start == "gaussian" else "zero",
        targets=read_targets(options.get("target_modules")),
        parameters=tuple(options.get("target_parameters") or ()),
        exclude=read_targets(options.get("exclude_modules")),
        layers=(layers,) if isinstance(layers, int) else tuple(layers or ()),
        rank_pattern=dict(options.get("rank_pattern") or {}),
        alpha_pattern=dict(options.get("alpha_pattern") or {}),
    )


def _parts(model: nn.Module, name: str) -> Iterator[tuple[str, Tensor, nn.Parameter | None]]:
    """Each stored tensor under PEFT's name and in PEFT's shape, and the parameter it fills, if any."""
    stacked: dict[str, list[ExpertsUpdate]] = defaultdict(list)
    for _, holder in holders(model, name):
        updates = holder.updates_of(name) if isinstance(holder, AdaptedLinear) else [holder.updates[name]]
        for update in updates:
            if isinstance(update, ExpertsUpdate):
                stacked[update.theirs.rpartition(".")[0]].append(update)
            else:
                yield from _of_update(update)
    for container, updates in stacked.items():
        for depth, update in enumerate(reversed(updates)):  # PEFT wraps one parameter after the other, the last outside
            yield from _of_experts(f"{PREFIX}{container}." + "base_layer." * depth, update)


def _of_update(update: nn.Module) -> Iterator[tuple[str, Tensor, nn.Parameter | None]]:
    if isinstance(update, EmbeddingUpdate):
        yield f"{PREFIX}{update.theirs}.lora_embedding_A", update.A, update.A
        yield f"{PREFIX}{update.theirs}.lora_embedding_B", update.B, update.B
        return
    assert isinstance(update, LowRankUpdate | DecomposedUpdate | PrincipalUpdate)
    place = f"{PREFIX}{update.theirs}."
    if isinstance(update, PrincipalUpdate):
        a, b = update.plain
        yield f"{place}lora_A.weight", a, None
        yield f"{place}lora_B.weight", b, None
    else:
        yield f"{place}lora_A.weight", update.A, update.A
        yield f"{place}lora_B.weight", update.B, update.B
    if isinstance(update, DecomposedUpdate):
        yield f"{place}lora_magnitude_vector", update.magnitude, update.magnitude
    elif update.bias is not None:
        yield f"{place}lora_B.bias", update.bias, update.bias


def _of_experts(place: str, update: ExpertsUpdate) -> Iterator[tuple[str, Tensor, nn.Parameter | None]]:
    """A of one expert after the other, ``[E R, K]``; of B first all experts' first columns, ``[N, R E]``."""
    yield f"{place}lora_A.weight", update.A.flatten(0, 1), update.A
    yield f"{place}lora_B.weight", update.B.permute(1, 2, 0).flatten(1), update.B


def _tensors(model: nn.Module, name: str) -> dict[str, Tensor]:
    return {key: tensor.detach().clone() for key, tensor, _ in _parts(model, name)}


def _fill(model: nn.Module, name: str, tensors: Tensors) -> None:
    for key, tensor, parameter in _parts(model, name):
        assert parameter is not None, "what is read is a plain LoRA"
        if parameter.shape == tensor.shape:
            parameter.copy_(tensors[key])
        elif key.endswith("lora_A.weight"):
            parameter.copy_(tensors[key].view_as(parameter))
        else:
            parameter.copy_(tensors[key].unflatten(1, (parameter.shape[2], parameter.shape[0])).permute(2, 0, 1))


def _base_tables(model: nn.Module, name: str) -> dict[str, Tensor]:
    """PEFT stores embeddings and heads that have updates whole, beside these."""
    tables = [holder for _, holder in holders(model, name) if isinstance(holder, AdaptedEmbedding | AdaptedHead)]
    return {f"{PREFIX}{table.updates[name].theirs}.base_layer.weight": table.base.weight for table in tables}


LORA = Form(
    peft_type="LORA",
    config=LoRAConfig,
    needed=frozenset({"r", "lora_alpha"}),
    read=frozenset(
        {
            "alpha_pattern",
            "bias",
            "exclude_modules",
            "init_lora_weights",
            "layers_pattern",
            "layers_to_transform",
            "lora_bias",
            "lora_dropout",
            "rank_pattern",
            "target_modules",
            "target_parameters",
            "use_dora",
            "use_rslora",
        }
    ),
    # How the base stores its matrices, and how weights were drawn or distributed.
    without_effect=frozenset(
        {
            "arrow_config",
            "corda_config",
            "ephemeral_gpu_offload",
            "eva_config",
            "fan_in_fan_out",
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
    base_tensors=_base_tables,
)
