"""Attention to some of the earlier tokens: near ones, and far ones by a pattern.

* strided: the last l, and every l-th before (Child et al. 2019, section 4.3, eq. for A^(1) and A^(2));
* fixed: the own block of l, and the last c of every earlier block, which sum it up (the same section);
* block-sparse: the own block and some before it, and the first blocks of the text, which all may see (Beltagy et al.
  2020, section 3.1, and Zaheer et al. 2020, section 2, of whose patterns a decoder's is; without the random blocks).

A head sees both parts at once (Child et al., "merged head"). Of a whole text the scores of near and far keys alone are
made: queries are put in groups that share their keys, and one softmax runs over both parts. That is T (2 l + T / l)
scores for strided, so T^1.5 where l is the root of T.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trivium.nn.attention.dot_product import dense_mask
from trivium.nn.attention.kernel import Scoring, probabilities, repeat_heads, weigh
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.placed import Places, attend_placed
from trivium.nn.state import KeyValueCache

_PIECE = 256  # queries, where scores of all keys of some are made
_FEW = 4  # blocks: in shorter texts hardly a key is left out, and the masked whole matrix is faster

Groups = tuple[Int[Tensor, "G L"], Int[Tensor, "G M"]]
"""Places of queries, and of the keys that each group of them shares; a key before the text has a place below 0."""


@runtime_checkable
class Pattern(Protocol):
    """Which keys a query sees, by their places i and j; ``near`` and ``far`` are asked for j <= i alone."""

    @property
    def block(self) -> int:
        """Queries of a block share their near keys; a text is filled up to whole blocks."""
        ...

    @property
    def before(self) -> int:
        """Earlier blocks that hold near keys."""
        ...

    def near(self, i: Tensor, j: Tensor) -> Tensor: ...

    def far(self, i: Tensor, j: Tensor) -> Tensor | None:
        """The other part, which may hold near keys too; None where there is none."""
        ...

    def far_groups(self, places: Int[Tensor, "N"]) -> Groups:
        """The places of whole blocks in groups that share far keys."""
        ...


@dataclass(frozen=True)
class Near:
    """The last ``tokens``, a token's own among them, and no far keys."""

    tokens: int
    before: int = 1

    @property
    def block(self) -> int:
        return self.tokens

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return i - j < self.tokens

    def far(self, i: Tensor, j: Tensor) -> None:
        return None

    def far_groups(self, places: Int[Tensor, "N"]) -> Groups:
        raise AssertionError("there are no far keys")


@dataclass(frozen=True)
class Strided:
    """The last ``block`` tokens, and every one that is a multiple of ``block`` away."""

    block: int
    before: int = 1

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return i - j < self.block

    def far(self, i: Tensor, j: Tensor) -> Tensor:
        return (i - j) % self.block == 0

    def far_groups(self, places: Int[Tensor, "N"]) -> Groups:
        together = places.view(-1, self.block).t()  # those with one remainder see each other, and no others
        return together, together


@dataclass(frozen=True)
class Fixed:
    """The own block, and the last ``summaries`` places of all before."""

    block: int
    summaries: int
    before: int = 0

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return i // self.block == j // self.block

    def far(self, i: Tensor, j: Tensor) -> Tensor:
        return j % self.block >= self.block - self.summaries

    def far_groups(self, places: Int[Tensor, "N"]) -> Groups:
        return places[None], places.view(-1, self.block)[:, self.block - self.summaries :].reshape(1, -1)


@dataclass(frozen=True)
class BlockSparse:
    """The own block and the ``before`` blocks before it, and the first ``firsts`` blocks of the text."""

    block: int
    before: int
    firsts: int

    def near(self, i: Tensor, j: Tensor) -> Tensor:
        return i // self.block - j // self.block <= self.before

    def far(self, i: Tensor, j: Tensor) -> Tensor:
        return j // self.block < self.firsts

    def far_groups(self, places: Int[Tensor, "N"]) -> Groups:
        return places[None], places[None, : self.firsts * self.block]


def sees(pattern: Pattern, queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"]) -> Bool[Tensor, "*B T S"]:
    """Whether each query may look at each key."""
    i, j = queries[..., :, None], keys[..., None, :]
    near, far = pattern.near(i, j), pattern.far(i, j)
    return (i >= j) & (near if far is None else near | far)


def attend_sparse(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G T K"],
    v: Float[Tensor, "B G T W"],
    layout: Layout,
    pattern: Pattern,
    how: Scoring,
    cache: KeyValueCache | None = None,
) -> Float[Tensor, "B H T W"]:
    """softmax(scores) v over what ``pattern`` lets each token see; ``how.window`` is not heeded.

    New tokens of a text that was read before gather the keys that any of them sees out of the cache.
    """

    def mix(q: Tensor, k: Tensor, v: Tensor, places: Places) -> Tensor:
        if places.aligned and q.shape[2] == k.shape[2] > _FEW * pattern.block:
            return _by_groups(q, repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1]), pattern, how)
        pieces = []
        for begin in range(0, q.shape[2], _PIECE):
            queries = places.queries[:, begin : begin + _PIECE]
            seen = sees(pattern, queries, places.keys)
            kept = seen.flatten(0, 1).any(0).nonzero()[:, 0]
            keys, values = k.index_select(2, kept), v.index_select(2, kept)
            added = None if how.bias is None else how.bias(queries, places.keys[kept])
            mask = seen[:, None].index_select(3, kept)
            pieces.append(weigh(q[:, :, begin : begin + _PIECE], keys, values, how, mask=mask, added=added))
        return torch.cat(pieces, dim=2)

    return attend_placed(mix, q, k, v, layout, cache)


def sparse_probabilities(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G T K"], layout: Layout, pattern: Pattern, how: Scoring
) -> Float[Tensor, "B H T T"]:
    """The probabilities in a whole matrix, for people to look at; only for calls without a cache."""
    mask = dense_mask(layout, q.shape[0], q.shape[2]) & sees(pattern, layout.positions, layout.positions)[:, None]
    added = None if how.bias is None else how.bias(layout.positions, layout.positions)
    return probabilities(q, k, how, mask=mask, added=added)


@dataclass(frozen=True)
class _Part:
    """Near or far keys of a whole text."""

    queries: Int[Tensor, "G L"]
    keys: Int[Tensor, "G M"]
    seen: Bool[Tensor, "G L M"]
    inverse: Int[Tensor, "N"] | None
    """Where each query stands in the groups; None where they stand in order, one group after the other."""

    def grouped(self, x: Float[Tensor, "B H N _"]) -> Float[Tensor, "B H G L _"]:
        """What queries have, in their groups."""
        return x.unflatten(2, self.queries.shape) if self.inverse is None else _pick(x, self.queries)

    def in_order(self, x: Float[Tensor, "B H G L _"]) -> Float[Tensor, "B H N _"]:
        """And back."""
        flat = x.flatten(2, 3)
        return flat if self.inverse is None else flat.index_select(2, self.inverse)


def _by_groups(q: Tensor, k: Tensor, v: Tensor, pattern: Pattern, how: Scoring) -> Tensor:
    """A whole text, no more than the scores of near and of far keys held; heads of keys are those of queries."""
    length = q.shape[2]
    spare = -length % pattern.block  # filled up at the end, where no real token looks
    q, k, v = (F.pad(x, (0, 0, 0, spare)) for x in (q, k, v))
    parts = _parts(pattern, torch.arange(length + spare, device=q.device))
    scores = torch.cat([_scores(q, k, part, how) for part in parts], dim=-1)
    if how.sinks is not None:
        sinks = how.sinks[:, None, None].to(scores.dtype).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    weights = F.dropout(torch.softmax(scores, dim=-1), how.dropout)
    mixed, begin = 0.0, 0
    for part in parts:
        end = begin + part.keys.shape[1]
        own = part.grouped(weights[..., begin:end])
        mixed = mixed + part.in_order(own @ _pick(v, part.keys))
        begin = end
    assert isinstance(mixed, Tensor)
    return mixed[:, :, :length]


def _parts(pattern: Pattern, places: Int[Tensor, "N"]) -> list[_Part]:
    own = places.view(-1, pattern.block)
    reach = torch.arange(-pattern.before * pattern.block, pattern.block, device=places.device)
    i, j = own[:, :, None], (own[:, :1] + reach)[:, None]
    near = (j >= 0) & (j <= i) & pattern.near(i, j)
    parts = [_Part(own, (own[:, :1] + reach).clamp(min=0), near, None)]
    if pattern.far(i, j) is not None:
        queries, keys = pattern.far_groups(places)
        i, j = queries[:, :, None], keys[:, None]
        far = pattern.far(i, j)
        assert far is not None
        inverse = None if queries.shape[0] == 1 else queries.flatten().argsort()
        parts.append(_Part(queries, keys, (j <= i) & far & ~pattern.near(i, j), inverse))
    return parts


def _scores(q: Tensor, k: Tensor, part: _Part, how: Scoring) -> Float[Tensor, "B H N M"]:
    scale = q.shape[-1] ** -0.5 if how.scale is None else how.scale
    scores = part.grouped(q * scale) @ _pick(k, part.keys).mT  # [B, H, G, L, M]
    if how.soft_cap is not None:
        scores = how.soft_cap * torch.tanh(scores / how.soft_cap)
    if how.bias is not None:
        scores = scores + how.bias(part.queries, part.keys).transpose(0, 1)
    return part.in_order(scores.masked_fill(~part.seen, float("-inf")))


def _pick(x: Float[Tensor, "B H N _"], places: Int[Tensor, "G L"]) -> Float[Tensor, "B H G L _"]:
    return x.index_select(2, places.flatten()).unflatten(2, places.shape)
