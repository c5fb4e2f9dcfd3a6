"""``config.json`` of DeepSeek-V3, and its tensors as the published files name them: one an expert."""

from collections.abc import Mapping
from typing import Any

from trivium.errors import Unsupported
from trivium.models.decoder_format import (
    EXPERT_FIELDS,
    fused,
    llama_experts,
    llama_fields,
    modules,
    read_fields,
    require,
    write_llama,
)
from trivium.nn.weight_map import Entry, Rename

_FIELDS = (
    llama_fields(vocabulary_size=129280, width=7168, layers=61, heads=128, inner_width=18432, context_tokens=4096)
    | EXPERT_FIELDS
    | {
        "head_width": ("qk_nope_head_dim", 128),
        "rotary_width": ("qk_rope_head_dim", 64),
        "value_width": ("v_head_dim", 128),
        "rank": ("kv_lora_rank", 512),
        "query_rank": ("q_lora_rank", 1536),
        "neighbours": ("rope_interleave", True),
        "attention_bias": ("attention_bias", False),
        "dense_layers": ("first_k_dense_replace", 3),
        "experts": ("n_routed_experts", 256),
        "chosen_experts": ("num_experts_per_tok", 8),
        "shared_experts": ("n_shared_experts", 1),
        "expert_inner_width": ("moe_intermediate_size", 2048),
        "expert_groups": ("n_group", 8),
        "chosen_groups": ("topk_group", 4),
        "expert_scaling": ("routed_scaling_factor", 2.5),
        "renormalise": ("norm_topk_prob", True),
        "balance_weight": ("router_aux_loss_coef", 0.0001),
        "correction_rate": ("router_bias_update_rate", 0.001),
    }
)
del _FIELDS["key_value_heads"]

_PREDICTION = ("embed_tokens", "enorm", "hnorm", "eh_proj", "shared_head.norm", "shared_head.head")
"""What the layer that predicts the token after the next has beside a block's."""


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``DeepSeekV3Config`` but for ``rope``; ``Unsupported`` for what the network does not compute."""
    require(config, hidden_act="silu", scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1)
    fields = read_fields(config, _FIELDS)
    heads, groups = fields["heads"], config.get("num_key_value_heads")
    if groups not in (None, heads):
        raise Unsupported("num_key_value_heads", received=groups, expected=f"{heads}, the heads")
    return fields | {name: fields[name] or 1 for name in ("expert_groups", "chosen_groups")}


def write(config: Any) -> dict[str, Any]:
    """What ``read`` reads back."""
    return write_llama(config, _FIELDS, "deepseek_v3", "DeepseekV3ForCausalLM") | {
        "qk_rope_head_dim": config.turned_width,
        "v_head_dim": config.width_of_value,
        "kv_lora_rank": config.key_value_rank,
        "moe_intermediate_size": config.width_of_expert,
        "num_nextn_predict_layers": 0,
    }


def latent_attention(*, bias: bool, low_rank_queries: bool) -> list[Entry]:
    """``self_attn`` of every layer."""

    def layer(**pairs: str) -> list[tuple[str, str]]:
        return [(f"blocks.{{i}}.attention.{a}", f"model.layers.{{i}}.self_attn.{b}") for a, b in pairs.items()]

    entries = modules(layer(down="kv_a_proj_with_mqa", output="o_proj"), bias=bias)
    entries += modules(layer(norm="kv_a_layernorm", up="kv_b_proj"), bias=False)
    if not low_rank_queries:
        return entries + modules(layer(query_up="q_proj"), bias=False)
    entries += modules(layer(query_down="q_a_proj"), bias=bias)
    return entries + modules(layer(query_norm="q_a_layernorm", query_up="q_b_proj"), bias=False)


def deepseek_experts(config: Any, layer: str) -> list[Entry]:
    """Router, correction and experts of one layer, the shared one among them."""
    ours, theirs, inner = f"blocks.{layer}.feedforward.", f"model.layers.{layer}.mlp.", config.width_of_expert
    entries = llama_experts(config.experts, inner, layer=layer)
    entries.append(Rename(ours + "router.correction", theirs + "gate.e_score_correction_bias"))
    if config.shared_experts:
        shared, width = theirs + "shared_experts.", config.shared_experts * inner
        entries += fused(ours + "shared.gate_up", (shared + "gate_proj", shared + "up_proj"), (width, width))
        entries += modules([(ours + "shared.down", shared + "down_proj")], bias=False)
    return entries


def prediction_layer(block: list[Entry], norms: tuple[str, ...], layer: int) -> tuple[str, ...]:
    """The names of the layer after the last: those of a ``block`` with its ``norms``, and its own."""
    beyond = f"model.layers.{layer}."
    names = {name.replace("model.layers.{i}.", beyond) for entry in block for name in entry.names()[1]}
    return tuple(sorted(names | {f"{beyond}{name}.weight" for name in (*_PREDICTION, *norms)}))
