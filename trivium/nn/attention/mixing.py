"""The ways of attending under one interface, so that a model can be built of any of them.

A mixing is called as ``mixing(q, k, v, layout, how, cache, probabilities)``; `related.Related` is another.
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.adaptive_span import AdaptiveSpan
from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import Cache
from trivium.nn.attention.sparse import Pattern, attend_sparse, sparse_probabilities
from trivium.nn.state import KeyValueCache


class Whole(nn.Module):
    """All earlier tokens, or those of ``how.window``."""

    def forward(
        self,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B G T K"],
        v: Float[Tensor, "B G T W"],
        layout: Layout,
        how: Scoring,
        cache: Cache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B H T W"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, how))
        return attend(q, k, v, layout, how, cache=cache)


class Sparse(nn.Module):
    """What a pattern lets each token see."""

    def __init__(self, pattern: Pattern) -> None:
        super().__init__()
        self.pattern = pattern

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
        """As `Whole`'s."""
        if probabilities is not None:
            probabilities.append(sparse_probabilities(q, k, layout, self.pattern, how))
        return attend_sparse(q, k, v, layout, self.pattern, how, cache)


class Spanned(nn.Module):
    """As far back as each head has learned to look."""

    def __init__(self, span: AdaptiveSpan) -> None:
        super().__init__()
        self.span = span

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
        """As `Whole`'s; a bias of ``how`` is added to the mask of the spans."""
        other = how.bias
        both = self.span if other is None else lambda queries, keys: self.span(queries, keys) + other(queries, keys)
        how, pattern = replace(how, bias=both), self.span.pattern
        if probabilities is not None:
            probabilities.append(sparse_probabilities(q, k, layout, pattern, how))
        return attend_sparse(q, k, v, layout, pattern, how, cache)
