"""Attention whose scores depend on content and distance together, so that no bias by position can stand for them.

`Relation` says what the scores are, and what a distance adds to what is gathered (Shaw et al. 2018; Dai et al. 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.dot_product import dense_mask
from trivium.nn.attention.kernel import Scoring, repeat_heads, weights_of
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.placed import Places, attend_placed, longest_text
from trivium.nn.state import KeyValueCache

_PIECE = 256  # queries whose scores are held at a time


@dataclass(frozen=True)
class Relation:
    """How queries and keys of one layer are related, for one forward pass."""

    scores: Callable[[Tensor, Tensor, Places], Tensor]
    """``scores(q [n H T K], k [n H S K], places) -> [n H T S]``, before they are scaled; anything for a key to come."""
    values: Callable[[Tensor, Places], Tensor] | None = None
    """``values(weights [n H T S], places) -> [n H T W]``: what distances add to what is gathered."""


class Related(nn.Module):
    """Attention by a layer's ``relation``, a module that is called with the length of the longest text."""

    def __init__(self, relation: nn.Module) -> None:
        super().__init__()
        self.relation = relation

    def forward(
        self,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B G T K"],
        v: Float[Tensor, "B G T W"],
        layout: Layout,
        how: Scoring,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B H T W"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        relation = self.relation(q.shape[2] if probabilities is not None else longest_text(layout))
        if probabilities is not None:
            probabilities.append(related_probabilities(q, k, layout, relation, how))
        return attend_related(q, k, v, layout, relation, how, cache)


def attend_related(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    layout: Layout,
    relation: Relation,
    how: Scoring,
    cache: KeyValueCache | None = None,
) -> Float[Tensor, "B H T W"]:
    """softmax(scores) v of every token over its own and earlier ones, a piece of the queries at a time.

    Of ``how`` all is heeded but a bias, which is the relation's to add.
    """
    assert how.bias is None, "a relation gives the scores"

    def mix(q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
        k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
        length, span, pieces = q.shape[2], k.shape[2], []
        for begin in range(0, length, _PIECE):
            here = slice(begin, min(begin + _PIECE, length))
            seen = slice(0, span)
            if places.aligned:  # what lies before every window, and after every query, is not computed
                past = span - length
                first = 0 if how.window is None else max(0, past + begin - how.window + 1)
                seen = slice(first, past + here.stop)
            near = Places(places.queries[:, here], places.keys[seen], places.aligned)
            weights = F.dropout(_weights(q[:, :, here], k[:, :, seen], near, relation, how), how.dropout)
            mixed = weights @ v[:, :, seen]
            pieces.append(mixed if relation.values is None else mixed + relation.values(weights, near))
        return torch.cat(pieces, dim=2)

    return attend_placed(mix, q, k, v, layout, cache)


def related_probabilities(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    layout: Layout,
    relation: Relation,
    how: Scoring,
) -> Float[Tensor, "B H T T"]:
    """The probabilities themselves, whole, for people to look at; only for calls without a cache."""
    columns = torch.arange(q.shape[2], device=q.device)  # within a packed document they are as far apart as positions
    places = Places(columns[None], columns, aligned=True)
    own = dense_mask(layout, q.shape[0], q.shape[2])
    return _weights(q, repeat_heads(k, q.shape[1]), places, relation, how, own)


def _weights(
    q: Tensor, k: Tensor, places: Places, relation: Relation, how: Scoring, own: Tensor | None = None
) -> Tensor:
    scale = q.shape[-1] ** -0.5 if how.scale is None else how.scale
    distances = places.distances
    seen = distances >= 0
    if how.window is not None:
        seen = seen & (distances < how.window)
    seen = seen[:, None] if own is None else seen[:, None] & own
    return weights_of(relation.scores(q, k, places) * scale, how, mask=seen)
