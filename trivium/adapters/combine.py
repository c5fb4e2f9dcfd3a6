"""Several adapters, or several models of one origin, become one.

What is combined are changes: of a LoRA the matrix scale * B A, of a model its difference from the model that it was
tuned from, its task vector (Ilharco et al. 2023, section 2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import AdaptedLinear
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.attach import attach
from trivium.adapters.dare import dare
from trivium.adapters.holder import holders
from trivium.adapters.lora import LoRAConfig, LowRankUpdate
from trivium.adapters.ties import agreeing, ties
from trivium.errors import ConfigError, Unsupported

Kind = Literal["sum", "linear", "ties", "dare", "dare-ties"]


@dataclass(frozen=True, kw_only=True)
class CombinationConfig:
    """How several changes of the same weights become one."""

    kind: Kind = "sum"
    """sum: the weighted sum, exact; linear: of adapters of one rank, their A and their B summed apart, as PEFT's
    "linear" does: no larger than one of them, and not the sum; ties: trim, elect signs, average what agrees; dare: drop
    at random and rescale, then sum; dare-ties: the same, then elect and average."""
    density: float = 0.2
    """Part of the numbers that ties keeps, the largest, and that dare keeps, at random."""
    rank: int | None = None
    """Rank of the adapter that comes out; null for the sum of all ranks, or the smaller side of the smallest matrix,
    which hold a sum exactly. A smaller one keeps the best approximation (singular value decomposition)."""
    seed: int = 0
    """Of what dare drops."""

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise ConfigError("density must be above 0 and at most 1", received=self.density)
        if self.rank is not None and self.rank < 1:
            raise ConfigError("the rank of a combination must be at least 1", received=self.rank)
        if self.kind == "linear" and self.rank is not None:
            raise ConfigError(
                "a linear combination has the rank of its parts",
                received=f"rank {self.rank}",
                fix="leave rank out, or choose the kind sum",
            )


def combined(
    changes: Sequence[Float[Tensor, "*S"]], weights: Sequence[float], config: CombinationConfig, draws: torch.Generator
) -> Float[Tensor, "*S"]:
    """One change of the changes. ``draws`` decides what dare drops; of one seed, in one order, it is the same."""
    assert config.kind != "linear", "defined for A and B, not for what they make"
    if config.kind == "ties":
        return ties(changes, weights, config.density)
    if config.kind in ("dare", "dare-ties"):
        changes = [dare(change, config.density, draws) for change in changes]
    if config.kind == "dare-ties":
        return agreeing(changes, weights)
    return torch.stack([change * weight for change, weight in zip(changes, weights, strict=True)]).sum(0)


def combine(model: nn.Module, name: str, sources: Mapping[str, float], config: CombinationConfig) -> float:
    """Attach to ``model`` a LoRA ``name`` made of the LoRAs ``sources``, each times its weight.

    Gives the part of the combined change (its squared Frobenius norm over all layers) that the new rank could not
    hold: 0 where it is exact. Raises ``ConfigError`` for adapters that are not there, for ranks that differ under
    "linear" and a rank larger than a matrix; ``Unsupported`` for adapters that are no plain LoRA.
    """
    found = {source: _updates(model, source) for source in _required(model, sources)}
    places = tuple(dict.fromkeys(place for updates in found.values() for place in updates))
    ranks = {source: adapters_of(model).configs[source].rank for source in found}
    if config.kind == "linear" and len(set(ranks.values())) > 1:
        raise ConfigError(
            "a linear combination needs adapters of one rank",
            received=", ".join(f"{source} {rank}" for source, rank in ranks.items()),
            fix="choose the kind sum, which any ranks have",
        )
    sides = min(min(u.rows, u.A.shape[1]) for updates in found.values() for u in updates.values())
    rank = next(iter(ranks.values())) if config.kind == "linear" else config.rank or min(sum(ranks.values()), sides)
    attach(model, name, LoRAConfig(rank=rank, alpha=rank, targets=places))
    draws = torch.Generator().manual_seed(config.seed)
    lost = whole = 0.0
    for place, target in _updates(model, name).items():
        parts = [(updates[place], sources[s]) for s, updates in found.items() if place in updates]
        if config.kind == "linear":
            _fill_linear(target, parts)
            continue
        missing, size = _fill(target, parts, config, draws)
        lost, whole = lost + missing, whole + size
    return lost / whole if whole else 0.0


def _required(model: nn.Module, sources: Mapping[str, float]) -> list[str]:
    if not sources:
        raise ConfigError("nothing is to be combined", fix="name at least one adapter")
    for source in sources:
        adapters_of(model).require(source)
    return list(sources)


def _updates(model: nn.Module, name: str) -> dict[str, LowRankUpdate]:
    """The low-rank updates of an adapter by published layer; ``Unsupported`` where it is made of anything else."""
    found = {}
    for path, holder in holders(model, name):
        updates = holder.updates_of(name) if isinstance(holder, AdaptedLinear) else [None]
        for update in updates:
            if type(update) is not LowRankUpdate:
                raise Unsupported("only plain LoRAs are combined", received=f"{name} at {path}")
            if update.bias is not None:
                raise Unsupported("LoRAs with a bias are not combined", received=f"{name} at {path}")
            found[update.theirs] = update
    if not found:
        raise Unsupported("only LoRAs are combined", received=name)
    return found


@torch.no_grad()
def _fill(
    target: LowRankUpdate,
    parts: Sequence[tuple[LowRankUpdate, float]],
    config: CombinationConfig,
    draws: torch.Generator,
) -> tuple[float, float]:
    """A and B of one layer; gives the squared norms of what is lost and of all."""
    if config.kind == "sum":
        # Stacked, the factors are the sum, whatever their ranks, without a matrix of full size.
        up = torch.cat([part.B * part.scale * weight for part, weight in parts], dim=1)
        down = torch.cat([part.A for part, _ in parts])
        if up.shape[1] <= target.A.shape[0]:
            target.B.zero_()[:, : up.shape[1]] = up
            target.A.zero_()[: down.shape[0]] = down
            return 0.0, float((up @ down).square().sum())
        left, corner = torch.linalg.qr(up)
        right, other = torch.linalg.qr(down.T)
        u, s, v = torch.linalg.svd(corner @ other.T, full_matrices=False)
        u, v = left @ u, v @ right.T
    else:
        dtype = torch.promote_types(target.A.dtype, torch.float32)
        changes, weights = [part.matrix(dtype) for part, _ in parts], [weight for _, weight in parts]
        u, s, v = torch.linalg.svd(combined(changes, weights, config, draws), full_matrices=False)
    rank = min(target.A.shape[0], s.shape[0])
    target.B.zero_()[:, :rank] = (u[:, :rank] * s[:rank]).to(target.B.dtype)
    target.A.zero_()[:rank] = v[:rank].to(target.A.dtype)
    return float(s[rank:].square().sum()), float(s.square().sum())


@torch.no_grad()
def _fill_linear(target: LowRankUpdate, parts: Sequence[tuple[LowRankUpdate, float]]) -> None:
    """A = sum sign(w) sqrt(|w s|) A_i, B = sum sqrt(|w s|) B_i: for one adapter it is that adapter times its weight."""
    target.A.zero_()
    target.B.zero_()
    for part, weight in parts:
        factor = math.sqrt(abs(weight * part.scale))
        target.A.add_(part.A, alpha=math.copysign(factor, weight * part.scale))
        target.B.add_(part.B, alpha=factor)
