"""Where an adapter can go: layers are named as the published checkpoint names them.

The weight map of the model says where each published layer lives here: ``q_proj`` is the first rows of
``attention.qkv``, ``up_proj`` the second half of ``feedforward.gate_up``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from trivium.adapters.holder import base_modules
from trivium.adapters.published import weight_map
from trivium.errors import ConfigError
from trivium.nn.attention.relative import RelativeAttention
from trivium.nn.attention.transformer_xl import DistanceRelation
from trivium.nn.experts import GroupedLinear
from trivium.nn.head import OutputHead
from trivium.nn.quantized import NF4Linear
from trivium.nn.quantized_experts import NF4GroupedLinear
from trivium.nn.routing import Router
from trivium.nn.weight_map import Entry, Fuse, Heads, Rename, Stack, StackFused, Transpose

ALL_LINEAR = "all-linear"
Kind = Literal["linear", "embedding", "experts", "head"]


@dataclass(frozen=True)
class Site:
    """One published layer, and the rows of ours that it is."""

    theirs: str
    """Published module name, ``model.layers.0.self_attn.q_proj``; of stacked experts that of the parameter."""
    ours: str
    """Our module, ``blocks.0.attention.qkv``."""
    start: int
    """First output row there."""
    rows: int
    """Number of output rows; of an embedding, numbers in a token's vector."""
    width: int
    """Number of inputs; of an embedding, tokens in the vocabulary."""
    transposed: bool
    """Published as ``[in, out]`` (``Conv1D``)."""
    kind: Kind = "linear"
    """Stacked experts are named by ``target_parameters``, the others by their module's name."""
    experts: int = 0
    """Matrices stacked there."""
    tied: bool = False
    """Of an embedding: the output head has the same weight."""

    @property
    def layer(self) -> int | None:
        """Number of its block: the first number in its name."""
        found = re.search(r"\.(\d+)\.", self.theirs)
        return int(found[1]) if found else None


def sites(model: nn.Module) -> list[Site]:
    """Every place an adapter can go on, in the order of the weight map.

    What is no map of tokens is none: the router of experts, whose logits only choose, and projections of distances
    between tokens, which all rows of a batch share.
    """
    modules = base_modules(model)
    apart = {f"{name}.logits" for name, module in modules.items() if isinstance(module, Router)}
    apart |= {
        f"{n}.position" for n, module in modules.items() if isinstance(module, DistanceRelation | RelativeAttention)
    }
    found: list[Site] = []
    for entry, ours, theirs in weight_map(model).expand():
        path = ours[0].removesuffix(".weight")
        if path != ours[0] and path not in apart and path in modules:
            found += _of_module(entry, path, theirs, modules[path], modules)
    return found


def _of_module(
    entry: Entry, path: str, theirs: tuple[str, ...], base: nn.Module, modules: dict[str, nn.Module]
) -> Iterator[Site]:
    """The published layers that the module ``path`` of the base holds."""
    plain = theirs[0].removesuffix(".weight")
    if isinstance(base, nn.Linear | NF4Linear):
        names = [name.removesuffix(".weight") for name in theirs]
        start = 0
        for name, rows in zip(names, _sizes(entry, base.out_features), strict=False):
            yield Site(name, path, start, rows, base.in_features, isinstance(entry, Transpose))
            start += rows
    elif isinstance(base, nn.Embedding) and isinstance(entry, Rename):
        heads = [module for module in modules.values() if isinstance(module, OutputHead)]
        tied = any(head.weight is base.weight for head in heads)
        yield Site(plain, path, 0, base.embedding_dim, base.num_embeddings, False, "embedding", tied=tied)
    elif isinstance(base, OutputHead) and isinstance(entry, Rename):
        yield Site(plain, path, 0, *base.weight.shape, False, "head")
    elif isinstance(base, GroupedLinear | NF4GroupedLinear):
        name = _stacked_name(path, plain) if isinstance(entry, Stack | StackFused) else plain
        yield Site(name, path, 0, base.outputs, base.inputs, isinstance(entry, Transpose), "experts", base.experts)


def _sizes(entry: Entry, rows: int) -> tuple[int, ...]:
    """The rows of each published layer in one of ours; none where it has no single place for its update."""
    if isinstance(entry, Rename | Transpose):
        return (rows,)
    if isinstance(entry, Fuse):
        return entry.sizes
    if isinstance(entry, Heads):
        return (rows // len(entry.theirs),) * len(entry.theirs)
    return ()


def _stacked_name(path: str, theirs: str) -> str:
    """What ``transformers`` calls the parameter it stacks published experts into: ``mlp.experts.gate_up_proj``."""
    container = re.split(r"\.\d+\.[^.]+$", theirs)[0].replace(".block_sparse_moe.", ".mlp.")
    return f"{container}.{path.rpartition('.')[2]}_proj"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What an adapter's settings say of where it goes."""

    targets: tuple[str, ...] | str
    """Endings such as ``q_proj``, one regular expression for the whole name, or ``all-linear``."""
    parameters: tuple[str, ...] = ()
    """Endings of names of stacked experts."""
    exclude: tuple[str, ...] | str = ()
    """Endings, or one regular expression: what of the targets is left out."""
    layers: tuple[int, ...] = ()
    """Numbers of the blocks to keep to; none given: all."""


def chosen(model: nn.Module, choice: Choice) -> list[Site]:
    """The sites of a choice. ``ConfigError`` listing what could match, for a target that matches nothing."""
    places = sites(model)
    modules = [site for site in places if site.kind != "experts"]
    linear = [site for site in places if site.kind == "linear"]
    everything = choice.targets in (ALL_LINEAR, (ALL_LINEAR,))
    found = set(linear) if everything else _named(modules, choice.targets, "target")
    if everything and not linear:
        raise _nothing(ALL_LINEAR, modules, "target")
    found |= _named([site for site in places if site.kind == "experts"], choice.parameters, "experts' target")
    found -= {site for site in found if any(p.fullmatch(site.theirs) for p in _patterns(choice.exclude))}
    if choice.layers:
        found = {site for site in found if site.layer in choice.layers}
    if not found:
        raise ConfigError(
            "no layer is left for this adapter",
            received=f"targets {choice.targets}, exclude {choice.exclude}, layers {choice.layers}",
            expected=f"layers {', '.join(str(n) for n in sorted({s.layer for s in places if s.layer is not None}))}",
        )
    return [site for site in places if site in found]


def match(model: nn.Module, targets: tuple[str, ...] | str) -> list[Site]:
    """``chosen`` for targets alone."""
    return chosen(model, Choice(targets=targets))


def _named(places: list[Site], targets: tuple[str, ...] | str, what: str) -> set[Site]:
    """The places that any of ``targets`` names; each must name one."""
    found: set[Site] = set()
    for pattern, target in zip(_patterns(targets), [targets] if isinstance(targets, str) else targets, strict=True):
        hits = {site for site in places if pattern.fullmatch(site.theirs)}
        if not hits:
            raise _nothing(target, places, what)
        found |= hits
    return found


def _nothing(target: str, places: list[Site], what: str) -> ConfigError:
    return ConfigError(
        f"the {what} {target!r} matches no linear layer of this model",
        received=target,
        expected=", ".join(endings(places)) or "it has no linear layers",
        fix="name layers by these endings" + (f", or {ALL_LINEAR}" if any(s.kind == "linear" for s in places) else ""),
    )


def _patterns(targets: tuple[str, ...] | str) -> list[re.Pattern[str]]:
    """A text is a regular expression, several are endings."""
    if not isinstance(targets, str):
        return [re.compile(rf"(.*\.)?{re.escape(ending)}") for ending in targets]
    try:
        return [re.compile(targets)]
    except re.error as error:
        raise ConfigError("the target is no regular expression", received=targets, expected=str(error)) from error


def endings(places: list[Site]) -> list[str]:
    """The names without their layers, each once: ``self_attn.q_proj``."""
    return list(dict.fromkeys(re.split(r"\.\d+\.", site.theirs)[-1] for site in places))
