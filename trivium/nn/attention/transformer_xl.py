"""Transformer-XL's relative positions for a cached decoder (Dai et al. 2019, section 3.3; Gopher, Rae et al. 2021).

    score(i, j) = (q_i + u)^T k_j + (q_i + v)^T W_r R_{i-j}          j <= i

over the square root of a head's width. R is the sinusoid of Vaswani et al. (2017) at the distance i - j; u and v are
learned for each head. What Transformer-XL remembers of earlier segments is a decoder's cache: keys and values know no
position, so they need not be computed again as the text goes on. `relative.py` is the same for XLNet, which looks both
ways, has two streams, and remembers vectors.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from trivium.nn.attention.kernel import Scoring
from trivium.nn.attention.layout import Layout
from trivium.nn.attention.placed import Places
from trivium.nn.attention.related import Related, Relation
from trivium.nn.attention.relative import relative_shift
from trivium.nn.linear import Linear
from trivium.nn.positions.sinusoidal import SinusoidalPositions
from trivium.nn.state import KeyValueCache

_MORE = 256  # distances: so seldom is the table made anew as a text grows


@lru_cache(maxsize=4)
def _sinusoids(width: int, distances: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "S D"]:
    """R of the last of ``distances`` first, 0 at the end. All layers share it: its sines in fp64 take longer than what
    one new token is multiplied by."""
    with torch.inference_mode(False):  # else it could not take part in training later
        furthest_first = torch.arange(distances - 1, -1, -1, device=device)
        return SinusoidalPositions(width)(furthest_first[None], dtype)[0]


class DistanceRelation(nn.Module):
    """u, v and W_r of one layer: how its queries are related to keys at a distance."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.position = Linear(width, heads * head_width, bias=False)
        self.content_bias = nn.Parameter(nn.init.normal_(torch.empty(heads, head_width), std=0.02))
        self.position_bias = nn.Parameter(nn.init.normal_(torch.empty(heads, head_width), std=0.02))

    def forward(self, longest: int) -> Relation:
        """For texts of at most ``longest`` tokens; the vectors of all distances are made once."""
        # What takes the place of the projection (packed, or under an adapter) has no weight, but a width.
        position, like = self.position, self.content_bias
        sinusoid = _sinusoids(position.in_features, -(-longest // _MORE) * _MORE, like.dtype, like.device)[-longest:]
        made: list[Tensor] = []

        def with_distances(q: Tensor, nearest: int) -> Tensor:
            """Products with W_r R of the ``nearest`` distances, ``[n H T nearest]``."""
            if q.shape[0] * q.shape[2] < self.head_width and type(position) is Linear:
                # W_r for a few queries is less work than for all distances.
                by_head = position.weight.view(self.heads, self.head_width, -1)
                return (q @ by_head) @ sinusoid[longest - nearest :].mT
            if not made:
                made.append(position(sinusoid).unflatten(-1, (self.heads, self.head_width)).permute(1, 2, 0))
            return q @ made[0][:, :, longest - nearest :]

        def scores(q: Tensor, k: Tensor, places: Places) -> Tensor:
            by_content = (q + self.content_bias[:, None]) @ k.mT
            by_distance, length, span = q + self.position_bias[:, None], q.shape[2], k.shape[2]
            if places.aligned:  # a row is a window of the scores of all distances, one place left of the row before
                everywhere = with_distances(by_distance, span)
                return by_content + relative_shift(F.pad(everywhere, (0, length - 1)), span)
            index = longest - 1 - places.distances.clamp(0, longest - 1)
            return by_content + with_distances(by_distance, longest).gather(-1, index[:, None].expand(by_content.shape))

        return Relation(scores)


class TransformerXLAttention(nn.Module):
    """Causal attention with the positions above; called as `RotaryAttention` is, without a rotation."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        *,
        bias: bool = False,
        output_bias: bool = False,
        window: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.head_width, self.window, self.dropout = heads, head_width, window, dropout
        self.qkv = Linear(width, 3 * heads * head_width, bias=bias)
        self.mixing = Related(DistanceRelation(width, heads, head_width))
        self.output = Linear(heads * head_width, width, bias=output_bias)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layout: Layout,
        cache: KeyValueCache | None = None,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """``probabilities`` gets those of this layer, for people to look at; only without a cache."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.head_width)).permute(2, 0, 3, 1, 4)
        how = Scoring(window=self.window, dropout=self.dropout if self.training else 0.0)
        mixed = self.mixing(q, k, v, layout, how, cache, probabilities)
        return self.output(mixed.transpose(1, 2).flatten(2))
