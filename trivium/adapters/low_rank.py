"""A LoRA put together: for every layer that its settings name, the update that this kind of layer takes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trivium.adapters.adapted_embedding import AdaptedEmbedding, EmbeddingUpdate, adapted_embedding
from trivium.adapters.adapted_experts import AdaptedExperts, ExpertsUpdate, adapted_experts
from trivium.adapters.adapted_head import AdaptedHead, adapted_head
from trivium.adapters.adapted_linear import AdaptedLinear, LinearUpdate, adapted_linear
from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.dora import DecomposedUpdate
from trivium.adapters.holder import Holder, base_modules, require_place
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.pissa import PrincipalUpdate
from trivium.adapters.sites import Site, chosen
from trivium.errors import Unsupported
from trivium.nn.quantized import NF4Linear

_HOLDERS: dict[str, type[Holder]] = {
    "linear": AdaptedLinear,
    "embedding": AdaptedEmbedding,
    "experts": AdaptedExperts,
    "head": AdaptedHead,
}
Part = Callable[[nn.Module, str, AdapterSet], None]
"""Puts one update into a model under an adapter's name."""


def prepare(model: nn.Module, config: LoRAConfig) -> Placing:
    """Updates for every layer that the settings name.

    Raises ``ConfigError`` as ``sites.chosen`` and for too large a rank, ``Unsupported`` for a layer that cannot have
    what the settings ask for.
    """
    like = first_weight(model)
    modules = base_modules(model)
    for site in chosen(model, config.choice):
        require_place(model, site.ours, _HOLDERS[site.kind])
    parts = [_part(site, config, like, modules[site.ours]) for site in chosen(model, config.choice)]

    def place(name: str, adapters: AdapterSet) -> None:
        for part in parts:
            part(model, name, adapters)

    return place


def _part(site: Site, config: LoRAConfig, like: Tensor, base: nn.Module) -> Part:
    """The update of one site."""
    if site.kind != "linear":
        _refuse_what_only_linears_have(site, config)
    if site.kind == "embedding":
        table = EmbeddingUpdate(site, config, like)
        return lambda model, name, adapters: adapted_embedding(model, site.ours, adapters).add(name, table)
    if site.kind == "experts":
        stack = ExpertsUpdate(site, config, like)
        return lambda model, name, adapters: adapted_experts(model, site.ours, adapters).add(name, stack)
    if site.kind == "head":
        head = LowRankUpdate(site, config, like)
        return lambda model, name, adapters: adapted_head(model, site.ours, adapters).add(name, head)
    update = _linear(site, config, like, base)
    return lambda model, name, adapters: adapted_linear(model, site.ours, adapters).add(name, update)


def _linear(site: Site, config: LoRAConfig, like: Tensor, base: nn.Module) -> LinearUpdate:
    assert isinstance(base, nn.Linear | NF4Linear)
    if config.decomposed:
        return DecomposedUpdate(site, config, like, _own(base, site, like))
    if config.start == "pissa":
        return PrincipalUpdate(site, config, like, _own(base, site, like))
    return LowRankUpdate(site, config, like)


def _own(base: nn.Linear | NF4Linear, site: Site, like: Tensor) -> Tensor:
    """The rows of the matrix that the site is, in fp32 at least."""
    wide = torch.promote_types(like.dtype, torch.float32)
    weight = base.weight_in(wide) if isinstance(base, NF4Linear) else base.weight.to(wide)
    return weight[site.start : site.start + site.rows]


def _refuse_what_only_linears_have(site: Site, config: LoRAConfig) -> None:
    asked = {"decomposed": config.decomposed, "start pissa": config.start == "pissa", "bias": config.bias}
    if site.kind == "experts":
        asked["dropout"] = config.dropout > 0
    if any(asked.values()):
        raise Unsupported(
            f"a LoRA of this kind on {site.theirs}",
            received=", ".join(name for name, value in asked.items() if value),
            expected=f"a plain LoRA on {site.kind}",
            fix="leave it out of the targets",
        )
