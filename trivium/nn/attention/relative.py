"""Transformer-XL's attention: a position is a distance, and what was read before is kept (Dai et al. 2019, section 3).

    score(i, j) = (q_i + u)^T k_j + (q_i + v)^T W_r R_{i-j}  [ + (q_i + s)^T e_{same segment or not} ]

over the square root of a head's width. R is the sinusoid of Vaswani et al. (2017) at the distance i - j; u, v and s are
learned for each head. The last term is XLNet's (Yang et al. 2019, section 2.5). The product with R is made once for
every distance: row i of the scores is a window of it, one place further left than that of row i - 1 (Dai et al. 2019,
appendix B).
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from trivium.errors import Unsupported
from trivium.nn.attention.layout import Slices
from trivium.nn.linear import Linear


@dataclass(frozen=True)
class Sight:
    """What the queries of one forward pass may look at, and how far away it is; all layers share it.

    There are T content queries, one a position, and P predictions, at positions of their own (two-stream attention).
    S keys are the memory's and the content's; their places are counted from the memory's first.
    """

    distances: Float[Tensor, "R D"]
    """The sinusoid at S - 1, S - 2, ..., 1 - T."""
    content: int
    """T, or 0 where the content is only looked at."""
    places: Int[Tensor, "B P S"] | None = None
    """Of a prediction: the row of ``distances`` for each key."""
    mask: Float[Tensor, "B Q S"] | None = None
    """Added to the scores: -inf where a query may not look."""
    blind: Bool[Tensor, "B Q"] | None = None
    """Queries that may look at nothing at all: what they gather is 0."""
    types: tuple[Float[Tensor, "B Q C"], Float[Tensor, "B S C"]] | None = None
    """Segments of queries and of keys, one-hot among C; the term is left out where not given."""
    slices: Slices | None = None
    """Packed documents, each attending to itself, the longest of them of T positions; there is no mask then."""

    def of_predictions(self) -> "Sight":
        """The same for the predictions alone."""
        kept = slice(self.content, None)
        return replace(
            self,
            content=0,
            mask=None if self.mask is None else self.mask[:, kept],
            blind=None if self.blind is None else self.blind[:, kept],
            types=None if self.types is None else (self.types[0][:, kept], self.types[1]),
        )


def mask_of(
    seen: Bool[Tensor, "B Q S"], dtype: torch.dtype
) -> tuple[Float[Tensor, "B Q S"], Bool[Tensor, "B Q"] | None]:
    """``mask`` and ``blind`` of a `Sight` in which query q may look at the keys ``seen[:, q]``."""
    blind = ~seen.any(-1)  # the first of an order, and padding
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    mask.masked_fill_(~(seen | blind[..., None]), float("-inf"))  # a softmax over nothing is no number
    return mask, blind if bool(blind.any()) else None


class RelativeAttention(nn.Module):
    """Attention over content and memory, scored by content, distance and segment; no biases but u, v and s."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width, self.dropout = heads, width // heads, dropout
        self.query = Linear(width, width, bias=False)
        self.key_value = Linear(width, 2 * width, bias=False)
        self.position = Linear(width, width, bias=False)
        self.output = Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, self.head_width))
        self.position_bias = nn.Parameter(torch.empty(heads, self.head_width))
        self.segment_bias = nn.Parameter(torch.empty(heads, self.head_width))
        self.segments = nn.Parameter(torch.empty(2, heads, self.head_width))
        for parameter in (self.content_bias, self.position_bias, self.segment_bias, self.segments):
            nn.init.normal_(parameter, std=0.02)  # as XLNet's other weights

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        read: Float[Tensor, "B S D"],
        sight: Sight,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """What each of ``x`` gathers from ``read``, memory and content."""
        scale = self.head_width**-0.5
        q = self.query(x).unflatten(-1, (self.heads, self.head_width)) * scale
        k, v = self.key_value(read).unflatten(-1, (2, self.heads, self.head_width)).unbind(2)
        r = self.position(sight.distances).unflatten(-1, (self.heads, self.head_width))
        by_content, by_distance = q + scale * self.content_bias, q + scale * self.position_bias
        if sight.types is not None:
            # Another segment's score is higher by `apart` than the same one's. All else being equal for a query, the
            # softmax sees no more than that: one product with one-hot segments, as further features of q and k.
            apart = ((q + scale * self.segment_bias) * (self.segments[1] - self.segments[0])).sum(-1, keepdim=True)
            of_queries, of_keys = (types[:, :, None] for types in sight.types)
            by_content = torch.cat([by_content, -apart * of_queries], dim=-1)
            k = torch.cat([k, of_keys.expand(-1, -1, self.heads, -1)], dim=-1)
        dropout = self.dropout if self.training else 0.0
        if sight.slices is not None:
            mixed = _attend_slices(by_content, by_distance, k, v, r, sight.slices, dropout)
        else:
            mixed = _attend(by_content, by_distance, k, v, r, sight, dropout, probabilities)
        return self.output(mixed.flatten(2))


def _attend(
    by_content: Float[Tensor, "B Q H J"],
    by_distance: Float[Tensor, "B Q H K"],
    k: Float[Tensor, "B S H J"],
    v: Float[Tensor, "B S H K"],
    r: Float[Tensor, "R H K"],
    sight: Sight,
    dropout: float,
    probabilities: list[Tensor] | None = None,
) -> Float[Tensor, "B Q H K"]:
    """softmax(scores) v; within, the head comes first, so that all rows share one product with the distances."""
    rows, queries, heads, _ = by_content.shape
    span = k.shape[1]
    everywhere = by_distance.flatten(0, 1).transpose(0, 1) @ r.permute(1, 2, 0)  # [H, B Q, R]
    added = _windows(everywhere.unflatten(1, (rows, queries)), sight, span)
    left, right, values = (x.permute(2, 0, 1, 3).reshape(heads * rows, x.shape[1], -1) for x in (by_content, k, v))
    scores = torch.baddbmm(added.flatten(0, 1), left, right.mT)
    if sight.mask is not None:
        scores.view(heads, rows, queries, span).add_(sight.mask)
    weights = torch.softmax(scores, dim=-1)
    if sight.blind is not None:
        weights = weights.masked_fill(sight.blind.flatten()[:, None].repeat(heads, 1).view(-1, queries, 1), 0.0)
    if probabilities is not None:
        probabilities.append(weights.view(heads, rows, queries, span).transpose(0, 1))
    mixed = F.dropout(weights, dropout) @ values
    return mixed.view(heads, rows, queries, -1).permute(1, 2, 0, 3)


def _windows(scores: Float[Tensor, "H B Q R"], sight: Sight, span: int) -> Float[Tensor, "H B Q S"]:
    """Of each query's scores of all distances those of its keys."""
    content = sight.content
    shifted = relative_shift(scores[:, :, :content], span) if content else None
    if sight.places is None:
        assert shifted is not None
        return shifted
    picked = scores[:, :, content:].gather(-1, sight.places.expand(scores.shape[0], -1, -1, -1))
    return picked if shifted is None else torch.cat([shifted, picked], dim=2)


def relative_shift(scores: Float[Tensor, "H B T R"], span: int) -> Float[Tensor, "H B T S"]:
    """``out[..., t, s] = scores[..., t, T - 1 - t + s]`` with S = ``span``: a view, by strides alone."""
    heads, rows, length, every = scores.shape
    assert every == length + span - 1 and scores.stride(-1) == 1, (scores.shape, span)
    per_head, per_row, per_query, _ = scores.stride()
    strides = (per_head, per_row, per_query - 1, 1)
    return scores.as_strided((heads, rows, length, span), strides, scores.storage_offset() + length - 1)


def _attend_slices(
    by_content: Float[Tensor, "B T H J"],
    by_distance: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H J"],
    v: Float[Tensor, "B T H K"],
    r: Float[Tensor, "R H K"],
    slices: Slices,
    dropout: float,
) -> Float[Tensor, "B T H K"]:
    """Each packed document by itself, equal lengths together, put back by one gather."""
    sizes = [group.numel() for group in slices.groups]
    parts = [x.flatten(0, 1)[slices.order].split(sizes) for x in (by_content, by_distance, k, v)]
    middle = r.shape[0] // 2  # distance 0
    pieces = []
    for group, *flat in zip(slices.groups, *parts, strict=True):
        count, size = group.shape
        nearby = r[middle - size + 1 : middle + size]
        own = (x.unflatten(0, (count, size)) for x in flat)
        mixed = _attend(*own, nearby, Sight(distances=nearby[:, 0], content=size), dropout)
        pieces.append(mixed.flatten(0, 1))
    return torch.cat(pieces)[slices.inverse].view(v.shape)


@dataclass
class SegmentMemory:
    """What one layer was given for the tokens read before (Dai et al. 2019, section 3.2), without a gradient.

    The newest stands in the last slot, so that a slot's distance from what comes next is the same in every row;
    ``State.lengths`` says how many slots, counted from the last, hold anything.
    """

    hidden: Float[Tensor, "B C D"]

    @classmethod
    def empty(cls, rows: int, capacity: int, width: int, like: Tensor) -> Self:
        """Room for the last ``capacity`` tokens of ``rows`` texts, of the dtype and device of ``like``."""
        return cls(like.new_zeros(rows, capacity, width))

    @property
    def capacity(self) -> int:
        """Slots per row."""
        return self.hidden.shape[1]

    def last(self, tokens: int) -> Float[Tensor, "B M D"]:
        """The newest ``tokens`` slots."""
        return self.hidden[:, self.capacity - tokens :]

    def add(self, hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, "B"] | None) -> Self:
        """With what a layer was given for new tokens, the first ``lengths`` of them; the oldest are forgotten."""
        every = torch.cat([self.hidden, hidden.detach()], dim=1)
        if lengths is None:
            return type(self)(every[:, every.shape[1] - self.capacity :])
        slots = lengths[:, None] + torch.arange(self.capacity, device=lengths.device)
        return type(self)(every.gather(1, slots[..., None].expand(-1, -1, every.shape[2])))

    def take(self, rows: Int[Tensor, "R"]) -> Self:
        return type(self)(self.hidden[rows])

    def join(self, other: Self) -> Self:
        assert self.capacity == other.capacity, (self.capacity, other.capacity)
        return type(self)(torch.cat([self.hidden, other.hidden]))

    def keep(self, mask: Bool[Tensor, "B"]) -> Self:
        return self  # the row's length is set to 0 by State.keep: what lies before it is invisible

    def rollback(self, lengths: Int[Tensor, "B"]) -> Self:
        raise Unsupported(
            "a memory of segments cannot be rolled back: what was read has looked at what came after it",
            received="State.rollback",
            fix="keep the state from before the step",
        )

    def reserve(self, rows: int, capacity: int) -> Self:
        room = type(self).empty(rows, capacity, self.hidden.shape[2], like=self.hidden)
        return room.put(torch.arange(self.hidden.shape[0], device=self.hidden.device), self, capacity)

    def first(self, rows: int) -> Self:
        return type(self)(self.hidden[:rows])

    def put(self, rows: Int[Tensor, "R"], other: Self, span: int) -> Self:
        if (
            other.hidden.data_ptr() != self.hidden.data_ptr()
        ):  # else a view of our first rows: they are in place already
            held = min(self.capacity, other.capacity)
            self.hidden[rows, self.capacity - held :] = other.last(held)
        return self

    def detach(self) -> Self:
        return self


pytree.register_dataclass(SegmentMemory)
