"""Multi-head latent attention (DeepSeek-AI 2024a, "DeepSeek-V2", section 2.1; as it is in DeepSeek-V3).

The keys and values of all heads are linear in one vector of R features a token, which is all that need be remembered of
it, beside one rotary key of K_r features that the heads share (eq. 9-11 and 15):

    c = norm(W_DKV x)     k_h = [W_UK,h c; rope(W_KR x)]     v_h = W_UV,h c

Because q_h . W_UK,h c = (W_UK,h^T q_h) . c, a new token is compared with what is remembered as it stands: W_UK is
absorbed into the queries and W_UV into what they gather (section 2.1.2). That is attention with one head of keys, which
are their own values. For many new tokens it is more work than to expand the keys once.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trivium.nn.attention.dot_product import attend, attention_probabilities
from trivium.nn.attention.kernel import Scoring, weigh
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.remembered import write
from trivium.nn.linear import Linear
from trivium.nn.norms import RMSNorm
from trivium.nn.positions.rope import rotate
from trivium.nn.quantized import NF4Linear
from trivium.nn.state import KeyValueCache

_NORM_EPSILON = 1e-6  # whatever that of the blocks is (the published code)


@dataclass
class LatentCache:
    """Of every token so far the compressed keys and values, then the turned rotary key: R + K_r numbers.

    Token ``t`` of row ``b`` sits in slot ``t``. What lies beyond a row's length is never visible.
    """

    tokens: Float[Tensor, "B C R"]

    @classmethod
    def empty(cls, rows: int, capacity: int, width: int, like: Tensor) -> Self:
        """For ``rows`` texts of at most ``capacity`` tokens, of the dtype and device of ``like``."""
        return cls(like.new_zeros(rows, capacity, width))

    @property
    def capacity(self) -> int:
        """Slots per row."""
        return self.tokens.shape[1]

    def as_keys(self) -> KeyValueCache:
        """A view: one head of keys, which are their own values."""
        keys = self.tokens[:, None]
        return KeyValueCache(keys, keys)

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        return type(self)(self.tokens.index_select(0, rows))

    def join(self, other: Self) -> Self:
        assert self.capacity == other.capacity, (self.capacity, other.capacity)
        return type(self)(torch.cat([self.tokens, other.tokens]))

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        return self  # State.lengths alone decides what is visible

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        return self  # likewise

    def reserve(self, rows: int, capacity: int) -> Self:
        room = type(self).empty(rows, capacity, self.tokens.shape[2], like=self.tokens)
        held = min(self.capacity, capacity)
        room.tokens[: self.tokens.shape[0], :held] = self.tokens[:, :held]
        return room

    def first(self, rows: int) -> Self:
        return type(self)(self.tokens[:rows])

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        assert span <= self.capacity, (span, self.capacity)
        # Else it is a view of our first rows: they are in place already.
        if other.tokens.data_ptr() != self.tokens.data_ptr():
            self.tokens[rows, :span] = other.tokens[:, :span]
        return self

    def detach(self) -> Self:
        return type(self)(self.tokens.detach())


pytree.register_dataclass(LatentCache)


class LatentAttention(nn.Module):
    """``heads`` heads, each of ``head_width`` features without a position and of ``rotary_width`` that are turned.

    Queries are made of ``query_rank`` features (eq. 12-13), or directly. ``bias`` is that of the projections that make
    the compressed vectors and of the output; ``scale`` is that of `Scoring`, and ``neighbours`` that of `rotate`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        rank: int,
        query_rank: int | None,
        rotary_width: int,
        value_width: int,
        bias: bool = False,
        neighbours: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.rank = heads, rank
        self.head_width, self.rotary_width, self.value_width = head_width, rotary_width, value_width
        self.query_down = None if query_rank is None else Linear(width, query_rank, bias=bias)
        self.query_norm = None if query_rank is None else RMSNorm(query_rank, _NORM_EPSILON)
        self.query_up = Linear(query_rank or width, heads * (head_width + rotary_width), bias=False)
        self.down = Linear(width, rank + rotary_width, bias=bias)
        self.norm = RMSNorm(rank, _NORM_EPSILON)
        self.up = Linear(rank, heads * (head_width + value_width), bias=False)
        self.output = Linear(heads * value_width, width, bias=bias)
        self.scale = (head_width + rotary_width) ** -0.5 if scale is None else scale
        self.neighbours, self.dropout = neighbours, dropout

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        rotation: Float[Tensor, "2 _ T 1 _"],
        cache: LatentCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        plain, turned = self._queries(x, rotation)
        latents = self._latents(x, rotation)
        if cache is not None and not layout.fresh and self._absorbs(layout, x.shape[1]):
            mixed = self._absorbed(plain, turned, latents, cache, layout)
        else:
            q = torch.cat([plain, turned], dim=-1)
            mixed = self._expanded(q, latents, cache, layout, probabilities)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _queries(
        self, x: Float[Tensor, "B T D"], rotation: Tensor
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T _"]]:
        """Those without a position, and the turned ones."""
        if self.query_down is not None and self.query_norm is not None:
            x = self.query_norm(self.query_down(x))
        q = self.query_up(x).unflatten(-1, (self.heads, -1))
        plain, turned = q.split([self.head_width, self.rotary_width], dim=-1)
        return plain.transpose(1, 2), rotate(turned, rotation, self.neighbours).transpose(1, 2)

    def _latents(self, x: Float[Tensor, "B T D"], rotation: Tensor) -> Float[Tensor, "B T R"]:
        """What is remembered of each token."""
        compressed, key = self.down(x).split([self.rank, self.rotary_width], dim=-1)
        turned = rotate(key[:, :, None], rotation, self.neighbours)[:, :, 0]
        return torch.cat([self.norm(compressed), turned], dim=-1)

    def _keys_and_values(
        self, latents: Float[Tensor, "B S R"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Of every head. Values are filled up with zeros to the width of the keys: PyTorch's kernel for CPUs falls back
        to the whole matrix of scores where the two differ, which took 1.6 times as long at 2,048 tokens."""
        compressed, key = latents.split([self.rank, self.rotary_width], dim=-1)
        k, v = self.up(compressed).unflatten(-1, (self.heads, -1)).split([self.head_width, self.value_width], dim=-1)
        k = torch.cat([k, key[:, :, None].expand(-1, -1, self.heads, -1)], dim=-1)
        return k.transpose(1, 2), F.pad(v, (0, max(0, k.shape[-1] - v.shape[-1]))).transpose(1, 2)

    def _expanded(
        self,
        q: Float[Tensor, "B H T K"],
        latents: Float[Tensor, "B T R"],
        cache: LatentCache | None,
        layout: Layout,
        probabilities: list[Tensor] | None,
    ) -> Float[Tensor, "B H T W"]:
        """With keys and values of every head; those of the past are made anew."""
        k, v = self._keys_and_values(latents)
        if probabilities is not None:
            probabilities.append(attention_probabilities(q, k, layout, Scoring(scale=self.scale)))
        past = None
        if cache is not None:
            write(cache.as_keys(), latents[:, None], latents[:, None], layout)
            past = None if layout.fresh else KeyValueCache(*self._keys_and_values(cache.tokens[:, : layout.span]))
        how = Scoring(scale=self.scale, dropout=self.dropout if self.training else 0.0)
        return attend(q, k, v, layout, how, cache=past)[..., : self.value_width]

    def _absorbs(self, layout: Layout, length: int) -> bool:
        """Whether it is less work: for each new and old token and each head the scores and sums take 2 R + K_r products
        and not K + K_r + V, but the R (K + V) that expand an old token are saved."""
        if type(self.up) not in (Linear, NF4Linear) or (self.training and self.dropout):
            return False  # under an adapter: what it does is known to itself alone
        if layout.slices is not None:
            return max(group.shape[1] for group in layout.slices.groups) == 1
        expanded = self.head_width + self.value_width
        return length * (2 * self.rank - expanded) <= self.rank * expanded

    def _absorbed(
        self,
        plain: Float[Tensor, "B H T K"],
        turned: Float[Tensor, "B H T _"],
        latents: Float[Tensor, "B T R"],
        cache: LatentCache,
        layout: Layout,
    ) -> Float[Tensor, "B H T W"]:
        """Over the cache as it stands."""
        up = self.up.weight_in(plain.dtype) if isinstance(self.up, NF4Linear) else self.up.weight
        up_k, up_v = up.unflatten(0, (self.heads, -1)).split([self.head_width, self.value_width], dim=1)
        q, new, keys = torch.cat([_by_head(plain, up_k), turned], dim=-1), latents[:, None], cache.as_keys()
        if layout.slices is not None:
            mixed = attend(q, new, new, layout, Scoring(scale=self.scale), cache=keys)
        else:
            write(keys, new, new, layout)
            # All heads and tokens stand in line as queries of the one head of keys, and nothing is copied for them.
            line, mask = q.flatten(1, 2)[:, None], layout.mask
            mask = None if mask is None else mask.repeat(1, 1, self.heads, 1)
            seen = keys.keys[:, :, : layout.span]
            mixed = weigh(line, seen, seen, Scoring(scale=self.scale), mask=mask)[:, 0].unflatten(1, q.shape[1:3])
        return _by_head(mixed[..., : self.rank], up_v.mT)


def _by_head(x: Float[Tensor, "B H T K"], matrices: Float[Tensor, "H K N"]) -> Float[Tensor, "B H T N"]:
    """The vectors of each head times its matrix, which is not repeated for every row."""
    rows = x.shape[0]
    return torch.bmm(x.transpose(0, 1).flatten(1, 2), matrices).unflatten(1, (rows, -1)).transpose(0, 1)
