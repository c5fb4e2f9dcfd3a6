"""Adapters as PEFT describes them: the content of ``adapter_config.json`` and its tensors, out and in.

``checkpoints/adapter_folder.py`` makes folders of it. Their layers ``q_proj`` and ``v_proj`` are rows of our fused
matrix and keep their own A and B, so nothing is approximated in either direction.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import attach, match, sites, wrapped_layers
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.prefix import Prefix, PrefixConfig
from trivium.errors import CheckpointError, Unsupported
from trivium.models import architecture

_PROMPT = "prompt_embeddings"
_TASKS = {"decoder": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM"}

_NEEDED = {"LORA": {"r", "lora_alpha", "target_modules"}, "PREFIX_TUNING": {"num_virtual_tokens"}}
_OPTIONAL = {"peft_type", "lora_dropout", "use_rslora", "bias"}
# How the base stores its matrices, how weights were drawn or distributed, bookkeeping: nothing that changes the
# result once the weights are there. A prefix is saved as it came out of its projection, if it had one.
_WITHOUT_EFFECT = {
    "arrow_config",
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "encoder_hidden_size",
    "ensure_weight_tying",
    "ephemeral_gpu_offload",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "loftq_config",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "num_attention_heads",
    "num_layers",
    "num_transformer_submodules",
    "peft_version",
    "prefix_projection",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "token_dim",
}


def to_peft(model: nn.Module, name: str, *, base: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """``adapter_config.json`` and the tensors of one adapter; ``base`` is the path or id of the frozen model."""
    adapters = adapters_of(model)
    adapters.require(name)
    config = adapters.configs[name]
    kind = architecture(model.config.to_hf()["model_type"]).kind
    common = {"base_model_name_or_path": base, "task_type": _TASKS.get(kind), "inference_mode": True}
    if isinstance(config, PrefixConfig):
        prefix = adapters.prefixes[name]
        assert isinstance(prefix, Prefix)
        return common | _prefix_config(prefix), {_PROMPT: _flat(prefix)}
    tensors = {}
    for _, layer in wrapped_layers(model, name):
        for update in layer.updates[name].children():
            assert isinstance(update, LowRankUpdate)
            for matrix, parameter in (("A", update.A), ("B", update.B)):
                tensors[_key(update.theirs, matrix)] = parameter.detach().clone()
    return common | _lora_config(model, config), tensors


def from_peft(model: nn.Module, name: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Attach the adapter that PEFT's ``config`` and ``tensors`` describe, under ``name``.

    ``Unsupported`` for options that would change the result and are not computed here, ``CheckpointError`` where
    tensors and configuration do not fit each other or the model, which is then as it was.
    """
    kind = config.get("peft_type")
    _check_options(kind, config)
    if kind == "PREFIX_TUNING":
        ours: LoRAConfig | PrefixConfig = PrefixConfig(tokens=config["num_virtual_tokens"])
        example = Prefix(model, ours)
        _check_shapes({_PROMPT: _flat(example).shape}, tensors)
        attach(model, name, ours)
        prefix = adapters_of(model).prefixes[name]
        assert isinstance(prefix, Prefix)
        _fill_prefix(prefix, tensors[_PROMPT])
        return
    targets = config["target_modules"]
    ours = LoRAConfig(
        rank=config["r"],
        alpha=config["lora_alpha"],
        dropout=config.get("lora_dropout", 0.0),
        rank_stabilised=bool(config.get("use_rslora")),
        targets=targets if isinstance(targets, str) else tuple(sorted(targets)),
    )
    expected: dict[str, torch.Size] = {}
    for site in match(model, ours.targets):
        expected[_key(site.theirs, "A")] = torch.Size([ours.rank, site.width])
        expected[_key(site.theirs, "B")] = torch.Size([site.rows, ours.rank])
    _check_shapes(expected, tensors)
    attach(model, name, ours)
    with torch.no_grad():
        for _, layer in wrapped_layers(model, name):
            for update in layer.updates[name].children():
                assert isinstance(update, LowRankUpdate)
                update.A.copy_(tensors[_key(update.theirs, "A")])
                update.B.copy_(tensors[_key(update.theirs, "B")])


def _lora_config(model: nn.Module, config: LoRAConfig) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilised,
        "target_modules": config.targets if isinstance(config.targets, str) else list(config.targets),
        "bias": "none",
        "fan_in_fan_out": any(site.transposed for site in sites(model)),
    }


def _prefix_config(prefix: Prefix) -> dict[str, Any]:
    layers, heads, tokens, head_width = prefix.keys.shape
    return {
        "peft_type": "PREFIX_TUNING",
        "num_virtual_tokens": tokens,
        "num_layers": layers,
        "num_attention_heads": heads,
        "token_dim": heads * head_width,
        "encoder_hidden_size": heads * head_width,
        "num_transformer_submodules": 1,
        "prefix_projection": False,
    }


def _flat(prefix: Prefix) -> Tensor:
    """``[P, L * 2 * H * K]``: for each position the keys, then the values, of layer after layer."""
    pairs = torch.stack([prefix.keys.detach(), prefix.values.detach()], dim=1)  # [L, 2, H, P, K]
    return pairs.permute(3, 0, 1, 2, 4).reshape(prefix.tokens, -1)


def _fill_prefix(prefix: Prefix, flat: Tensor) -> None:
    layers, heads, tokens, head_width = prefix.keys.shape
    pairs = flat.view(tokens, layers, 2, heads, head_width).permute(2, 1, 3, 0, 4)
    with torch.no_grad():
        prefix.keys.copy_(pairs[0])
        prefix.values.copy_(pairs[1])


def _key(theirs: str, matrix: str) -> str:
    return f"base_model.model.{theirs}.lora_{matrix}.weight"


def _check_options(kind: object, config: Mapping[str, Any]) -> None:
    if kind not in _NEEDED:
        raise Unsupported("this kind of PEFT adapter", received=kind, expected=" or ".join(_NEEDED))
    missing = _NEEDED[str(kind)] - {key for key, value in config.items() if value}
    if missing:
        raise CheckpointError("adapter_config.json is incomplete", received=f"no {', '.join(sorted(missing))}")
    known = _NEEDED[str(kind)] | _OPTIONAL | _WITHOUT_EFFECT
    options = {key: value for key, value in config.items() if key not in known and value}
    if config.get("bias", "none") != "none":
        options["bias"] = config["bias"]
    if options:
        raise Unsupported(
            "options of this PEFT adapter that are not computed here",
            received=", ".join(f"{key}: {value}" for key, value in sorted(options.items())),
            fix="merge it into its base with PEFT and load the merged model",
        )


def _check_shapes(expected: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]) -> None:
    wrong = [f"missing: {key}" for key in expected.keys() - tensors.keys()]
    wrong += [f"unexpected: {key}" for key in tensors.keys() - expected.keys()]
    wrong += [
        f"{key}: {list(tensors[key].shape)}, the model and adapter_config.json say {list(shape)}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if wrong:
        raise CheckpointError(
            "the adapter does not fit this model",
            received="\n".join(sorted(wrong)[:20]),
            fix="load it on the base model it was trained on",
        )
