"""The block of a mixture-of-experts decoder, and the way through a stack of them.

`PreNormBlock` whose feed-forward layer may be one of many experts; where it is, the routing of the pass is kept for
the losses.
"""

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout
from trivium.nn.decoder import through
from trivium.nn.experts import Experts
from trivium.nn.norms import RMSNorm
from trivium.nn.routing import Routings, count_load, shares
from trivium.nn.state import LayerState, State


class MixtureBlock(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)); ``dropout`` is on what each adds."""

    def __init__(
        self, width: int, attention: nn.Module, feedforward: nn.Module, *, norm_epsilon: float, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width, norm_epsilon)
        self.attention = attention
        self.after_attention = nn.Identity()  # seat for an adapter
        self.feedforward_norm = RMSNorm(width, norm_epsilon)
        self.feedforward = feedforward
        self.routed = isinstance(feedforward, Experts)  # some layers of a model may have none
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        routings: Routings | None = None,
        cache: LayerState | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        mixed = self.attention(self.attention_norm(x), layout, rotation, cache, probabilities)
        x = x + self.dropout(self.after_attention(mixed))
        normed = self.feedforward_norm(x)
        fed = self.feedforward(normed, routings) if self.routed else self.feedforward(normed)
        return x + self.dropout(self.after_feedforward(fed))


def through_experts(
    model: Any,
    x: Float[Tensor, "B T D"],
    layout: Layout,
    *shared: Any,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    state: State | None,
    collect: Collection[str],
    weights: Any = None,
) -> tuple[Float[Tensor, "B T D"], dict[str, list[Tensor]], dict[str, Tensor]]:
    """`through` for blocks that take a `Routings` after ``shared``; and, in training, the losses for
    ``Output.auxiliary``, by ``balance_weight`` and ``z_weight`` of ``weights`` (``model.config`` where not given).

    ``collect`` may name "routing": the share of its choices that each expert of a layer got, ``[E]``.
    """
    kept = model.training or "routing" in collect
    routings = Routings.of(x, lengths=lengths, segments=segments) if kept else None
    x, collected = through(model.blocks, x, layout, *shared, routings, state=state, collect=collect)
    if routings is None:
        return x, collected, {}
    if "routing" in collected:
        collected["routing"] = shares(routings)
    if not model.training:
        return x, collected, {}
    if torch.is_grad_enabled():
        count_load(model.blocks, routings)
    weights = model.config if weights is None else weights
    return x, collected, routings.losses(balance_weight=weights.balance_weight, z_weight=weights.z_weight)
