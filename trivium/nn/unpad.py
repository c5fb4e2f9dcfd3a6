"""Encoders without padding: rows of unequal length are computed as one row of all their tokens.

Where rows are padded to the longest, every layer computes the padding for nothing. Packed as ``[1, N]`` there is none,
and attention alone needs to know which tokens belong together (Zeng et al. 2022, "Boosting Distributed Training
Performance of the Unpadded BERT Model").
"""

from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from trivium.nn.attention.layout import Layout, plain_layout
from trivium.nn.output import Output

packed_rows: ContextVar[Int[Tensor, "N"] | None] = ContextVar("packed_rows", default=None)
"""The row of each token of the pass that was packed last: what stands inside a pass and treats rows differently
(an adapter) sees ``[1, N]`` and finds here whose token is whose. None: nothing was packed."""


@dataclass(frozen=True)
class Unpadded:
    """The rows of one bidirectional forward pass: packed where they are of unequal length, else as they came.

    A model's ``forward`` packs what it is given, computes over ``layout``, and unpacks what it returns.
    """

    layout: Layout
    """Which token may look at which, and the position of each, of packed rows within its own text."""
    rows: int
    length: int
    """The shape ``[B, T]`` of the input."""
    places: Int[Tensor, "N"] | None = None
    """Where each packed token stands in the flattened input; None: nothing is packed."""

    def pack(self, x: Shaped[Tensor, "B T *W"] | None) -> Shaped[Tensor, "_ _ *W"] | None:
        """``[1, N, ...]`` without the padding, or ``x`` itself; None stays None (token types that were not given)."""
        if x is None or self.places is None:
            return x
        return x.expand(self.rows, self.length, *x.shape[2:]).flatten(0, 1)[self.places][None]

    def unpack(self, x: Float[Tensor, "_ _ D"]) -> Float[Tensor, "B T D"]:
        """Back in rows, zeros beyond their lengths."""
        if self.places is None:
            return x
        empty = x.new_zeros(self.rows * self.length, x.shape[-1])
        return empty.index_copy(0, self.places, x[0]).view(self.rows, self.length, -1)

    def through(self, blocks: Iterable[nn.Module], x: Float[Tensor, "_ _ D"], collect: Collection[str]) -> Output:
        """What ``blocks`` make of the packed ``x``, back in rows; each is called as
        ``block(x, layout, probabilities=...)`` and adds its attention to that list where there is one."""
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        for block in blocks:
            if "hidden" in collected:
                collected["hidden"].append(self.unpack(x))
            x = block(x, self.layout, probabilities=collected.get("attention"))
        hidden = self.unpack(x)
        if "hidden" in collected:
            collected["hidden"].append(hidden)
        return Output(hidden, collected=collected)


def unpadded(
    given: Shaped[Tensor, "B T *W"] | None,
    *,
    lengths: Int[Tensor, "B"] | None,
    segments: Int[Tensor, "B T"] | None,
    collect: Collection[str] = (),
) -> Unpadded:
    """How the rows of ``given`` (tokens, or their vectors) are computed.

    Rows that are packed already (``segments``) stay so, and those whose attention is collected stay padded: it is
    looked at in rows.
    """
    assert given is not None, "give either tokens or embeddings"
    rows, length = given.shape[:2]
    ragged = lengths is not None and int(lengths.min()) < length and bool(lengths.any())  # nothing is no row
    if segments is not None or not ragged or "attention" in collect:
        packed_rows.set(None)
        return Unpadded(plain_layout(given, causal=False, lengths=lengths, segments=segments), rows, length)
    assert lengths is not None
    owners = torch.repeat_interleave(lengths)[None]  # the row of each packed token
    packed_rows.set(owners[0])
    places = (torch.arange(length, device=given.device) < lengths[:, None]).flatten().nonzero()[:, 0]
    return Unpadded(plain_layout(owners, causal=False, segments=owners), rows, length, places)
