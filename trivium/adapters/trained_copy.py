"""Whole modules trained beside the frozen rest: each adapter has its own copy of an embedding, a norm or a head.

PEFT calls this ``modules_to_save``. A copy costs as much memory as the module, for every adapter.
"""

import copy
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped
from torch import Tensor, nn

from trivium.adapters.adapter_set import Placing
from trivium.adapters.holder import base_modules
from trivium.adapters.published import Published, published
from trivium.adapters.shared_table import sharers
from trivium.adapters.swapped import StandIn, placing, require_swappable
from trivium.errors import ConfigError, Unsupported
from trivium.nn.head import OutputHead
from trivium.nn.norms import RMSNorm
from trivium.nn.weight_map import Rename, Transpose

_CALLED_WITH_ONE = (nn.Linear, nn.Embedding, nn.LayerNorm, RMSNorm, OutputHead)

Memo = dict[int, Any]
"""Of ``copy.deepcopy``: what was copied, by its id."""


@dataclass(frozen=True, kw_only=True)
class TrainedCopyConfig:
    """Which modules an adapter has copies of."""

    modules: tuple[str, ...] = ("lm_head",)
    """Endings of published names, such as embed_tokens, lm_head or classifier; all that is in such a module is
    copied."""

    def __post_init__(self) -> None:
        if not self.modules:
            raise ConfigError("name at least one module to train", received="no modules", expected="lm_head, say")


class TrainedCopy(StandIn):
    """A copy of one module of ours; ``tied``: another module has a weight of it, and keeps it."""

    def __init__(self, path: str, base: nn.Module, names: Published, *, tied: bool, memo: Memo, merged: Memo) -> None:
        super().__init__()
        self.path, self.names, self.tied = path, names, tied
        self.module = copy.deepcopy(base, memo).requires_grad_(True)
        self._merged = merged

    def forward(self, base: nn.Module, *given: object) -> Shaped[Tensor, "..."]:
        return self.module(*given)

    def merged(self, base: nn.Module) -> nn.Module:
        """``Unsupported`` where the base has the same weight in another place: one of the two would then be wrong."""
        if self.tied:
            raise Unsupported(
                "a copy of one of two tied modules cannot be merged",
                received=self.path,
                expected="a model whose output head has a table of its own",
                fix="use the adapter unmerged",
            )
        return copy.deepcopy(self.module, self._merged).requires_grad_(False)

    def unmerge(self) -> None:
        self._merged.clear()


def prepare(model: nn.Module, config: TrainedCopyConfig) -> Placing:
    """A copy of every module that the settings name.

    ``ConfigError`` for a name that the model has not, ``Unsupported`` for a module that is a part of one of ours, that
    has no weights to train, or that carries an adapter of another kind.
    """
    return placing(model, copies(model, config))


def copies(model: nn.Module, config: TrainedCopyConfig, *, tied: bool = False) -> dict[str, TrainedCopy]:
    """By our names of the modules: the copies, not yet in their places; raises as ``prepare``.

    ``tied``: where one of an embedding and an output head with the same table is copied, both are, as one.
    """
    names, modules = published(model), base_modules(model)
    inside: dict[str, Published] = defaultdict(dict)
    for ending in config.modules:
        found = {ours: entry for ours, entry in names.items() if any(_is_inside(name, ending) for name in entry[1])}
        if not found:
            raise ConfigError(
                f"no module of this model is called {ending!r}",
                received=ending,
                expected=", ".join(dict.fromkeys(_ending(entry[1][0]) for entry in names.values())),
            )
        for ours, entry in found.items():
            path, _, parameter = ours.rpartition(".")
            inside[path][parameter] = entry
    table = sharers(model) if tied and inside.keys() & set(sharers(model)) else ()
    for ours, entry in names.items():
        path, _, parameter = ours.rpartition(".")
        if path in table:
            inside[path][parameter] = entry
    for path, own in inside.items():
        _require_copyable(model, path, own, modules[path])
    # What is copied with one memo stays tied.
    memo: Memo = {}
    merged: Memo = {}
    made = {}
    for path, own in inside.items():
        if path in table:
            made[path] = TrainedCopy(path, modules[path], own, tied=False, memo=memo, merged=merged)
        else:
            made[path] = TrainedCopy(path, modules[path], own, tied=_is_tied(modules, path), memo={}, merged={})
    return made


def is_named(module: str, ending: str) -> bool:
    """Whether the published name of the module ends so, a whole number of its parts."""
    return f".{module}".endswith(f".{ending}")


def _is_inside(theirs: str, ending: str) -> bool:
    """Whether the published tensor is in a module whose name ends so."""
    return f".{ending}." in f".{theirs.rpartition('.')[0]}."


def _require_copyable(model: nn.Module, path: str, own: Published, base: nn.Module) -> None:
    parameters = dict(base.named_parameters())
    plain = all(isinstance(entry, Rename | Transpose) for entry, _ in own.values())
    if not plain or not isinstance(base, _CALLED_WITH_ONE) or parameters.keys() != own.keys():
        raise Unsupported(
            "a copy of a part of a module, or of one of this kind",
            received=f"{', '.join(name for _, theirs in own.values() for name in theirs)}, here {path}",
            expected="whole embeddings, output heads, norms and linear layers that are not fused with others",
            fix="put a LoRA on it",
        )
    require_swappable(model, path)


def _is_tied(modules: dict[str, nn.Module], path: str) -> bool:
    """Whether another module has a parameter of this one."""
    others = [p for place, module in modules.items() if place != path for p in module.parameters(recurse=False)]
    return any(mine is other for mine in modules[path].parameters() for other in others)


def _ending(theirs: str) -> str:
    """The module's name without its layer: ``self_attn.q_proj``."""
    return re.split(r"\.\d+\.", theirs.rpartition(".")[0])[-1]
