"""XLNet (Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for Language Understanding").

Tokens are predicted one after another in an order drawn by chance, so that each is told by words on both sides of it,
and none is replaced by a mask. For that every position has two vectors (section 2.3): its content, which knows its own
token, and its query, which knows its place alone and looks at what comes before it in the order. A query is computed
only where something is to be predicted. Positions are distances, and a memory holds what was read before (Dai et al.
2019): `nn/attention/relative.py`. The published code has one more dropout, on the sinusoids.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError, Unsupported
from trivium.models import xlnet_format
from trivium.models.head_format import Head, check_head
from trivium.nn.attention.dot_product import dense_mask
from trivium.nn.attention.relative import RelativeAttention, SegmentMemory, Sight, mask_of
from trivium.nn.classification_head import ClassificationHead, HiddenLayer
from trivium.nn.embedded import embedded
from trivium.nn.feedforward import Activation, FeedForward
from trivium.nn.head import OutputHead
from trivium.nn.initialise import normal_
from trivium.nn.output import Output
from trivium.nn.positions.sinusoidal import SinusoidalPositions
from trivium.nn.span_head import SpanHead
from trivium.nn.state import LayerState, State
from trivium.nn.tagging_head import TaggingHead
from trivium.nn.unpad import Unpadded, unpadded
from trivium.nn.weight_map import WeightMap


@dataclass(frozen=True, kw_only=True)
class XLNetConfig:
    """Shape of an XLNet; the defaults are the base model's."""

    vocabulary_size: int = 32000
    """Number of pieces V."""
    width: int = 768
    """Width D of the residual stream."""
    layers: int = 12
    """Number of blocks."""
    heads: int = 12
    """Attention heads H; ``width`` is a multiple of it."""
    inner_width: int = 3072
    """Width F of the feed-forward layer."""
    activation: Activation = "gelu"
    """Non-linearity of the feed-forward layer."""
    furthest_tokens: int | None = None
    """Distance from which on all count as this one; no limit where not given."""
    memory_tokens: int | None = None
    """The most tokens that a new state remembers; as many as it is asked for where not given."""
    dropout: float = 0.1
    """Dropout on embeddings, attention probabilities, residual branches and final hidden states."""
    head_dropout: float = 0.1
    """Dropout before the logits of classes."""
    norm_epsilon: float = 1e-12
    """Added to the variance in the layer norms."""
    tied: bool = True
    """Output weights are the input embedding."""
    head: Head = "language"
    """What the network says."""
    labels: tuple[str, ...] = ()
    """Names of the classes, numbers or tags of a head that has them, in the order of its outputs."""

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 2:
            raise ConfigError(
                "the width is a multiple of the heads, and even",
                received=f"width {self.width}, heads {self.heads}",
                fix=f"choose an even width that is a multiple of {self.heads}",
            )
        check_head(self.head, self.labels)

    @property
    def context_tokens(self) -> None:
        """No limit: positions are relative."""
        return None

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "XLNetConfig":
        """From a ``config.json`` of ``model_type`` xlnet; ``Unsupported`` for what this file does not compute."""
        return cls(**xlnet_format.read(config))

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json`` that ``transformers`` opens."""
        return xlnet_format.write(self)


class Block(nn.Module):
    """norm(x + attention(x)), then norm(x + feedforward(x))."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config.width, config.heads, config.dropout)
        self.after_attention = nn.Identity()  # seat for an adapter
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.feedforward = FeedForward(config.width, config.inner_width, config.activation, dropout=config.dropout)
        self.after_feedforward = nn.Identity()  # seat for an adapter
        self.feedforward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B Q D"],
        read: Float[Tensor, "B S D"],
        sight: Sight,
        probabilities: list[Tensor] | None = None,
    ) -> Float[Tensor, "B Q D"]:
        """Both streams have the same weights: ``x`` are contents, predictions, or one after the other; ``read`` is the
        memory and the contents."""
        mixed = self.dropout(self.attention(x, read, sight, probabilities))
        x = self.attention_norm(x + self.after_attention(mixed))
        return self.feedforward_norm(x + self.after_feedforward(self.dropout(self.feedforward(x))))


class XLNet(nn.Module):
    """Encoder with two streams; exactly the attribute of ``config.head`` is there.

    ``head(output.hidden)`` gives the logits of tokens, ``classify(output.hidden, lengths)`` those of classes, or
    numbers, from the last position of a text; ``tag`` and ``span`` are a `TaggingHead` and a `SpanHead`.
    """

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.query = nn.Parameter(torch.empty(1, 1, config.width))  # w, where every query begins
        self.positions = SinusoidalPositions(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = self.classify = self.tag = self.span = None
        self._set_head(config)
        self.apply(normal_)
        nn.init.normal_(self.query, std=0.02)

    def _set_head(self, config: XLNetConfig) -> None:
        width, classes = config.width, len(config.labels)
        if config.head == "language":
            tied_to = self.embedding if config.tied else None
            self.head = OutputHead(width, config.vocabulary_size, tied_to=tied_to, bias=True)
        elif config.head in ("classification", "regression"):
            summary = HiddenLayer(width)
            self.classify = ClassificationHead(
                width, classes, pooling="last", transform=summary, dropout=config.head_dropout
            )
        elif config.head == "tagging":
            self.tag = TaggingHead(width, classes)
        elif config.head == "span":
            self.span = SpanHead(width)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Token vectors."""
        return self.embedding(tokens)

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty memory for ``rows`` texts: of the last ``capacity`` tokens, or ``memory_tokens`` if that is less."""
        capacity = min(capacity, self.config.memory_tokens or capacity)
        like = self.embedding.weight
        empty = [SegmentMemory.empty(rows, capacity, self.config.width, like=like) for _ in self.blocks]
        return State(list(empty), torch.zeros(rows, dtype=torch.long, device=like.device))

    def forward(
        self,
        tokens: Int[Tensor, "B T"] | None = None,
        *,
        embeddings: Float[Tensor, "B T D"] | None = None,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
        state: State | None = None,
        collect: Collection[str] = (),
        token_types: Int[Tensor, "B T"] | None = None,
        ranks: Int[Tensor, "B T"] | None = None,
        predicted: Int[Tensor, "B P"] | None = None,
    ) -> Output:
        """Hidden states of ``tokens`` (or of ``embeddings``), see the model contract in docs/architecture.md.

        ``ranks`` is the order of factorisation: the content of a position sees those of its own rank or a lower one,
        its query those of a lower rank alone. What is not predicted may have one rank, 0, and is seen by all.
        With ``predicted``, positions, ``hidden`` is ``[B, P, D]``, their queries after the last block; else it is the
        contents. ``token_types`` says which of several joined texts a token belongs to. ``state`` is the memory of what
        was read before (it counts as of type 0), and the new tokens are added to the one returned. Rows of unequal
        ``lengths`` with neither an order nor a memory are computed without their padding; ``hidden`` is zero there.
        """
        assert predicted is None or ranks is not None, "predictions need an order"
        if segments is not None and (state is not None or ranks is not None):
            raise Unsupported("packed documents are read alone", received="segments with a state or with ranks")
        given = tokens if embeddings is None else embeddings
        assert given is not None, "give either tokens or embeddings"
        in_rows = state is not None or ranks is not None
        rows = unpadded(given, lengths=None if in_rows else lengths, segments=segments, collect=collect)
        x = self.dropout(embedded(self, rows.pack(tokens), rows.pack(embeddings)))
        length, held, seen = x.shape[1], 0, None
        if in_rows:
            held = 0 if state is None else min(int(state.lengths.max()), state.layers[0].capacity)
            seen = _seen(x, held, None if state is None else state.lengths, lengths, ranks, predicted)
        elif "attention" in collect:
            seen = dense_mask(rows.layout, x.shape[0], length)[:, 0]
        sight = self._sight(x, held, seen, rows, rows.pack(token_types), predicted)
        if predicted is not None:
            x = torch.cat([x, self.dropout(self.query.expand(*predicted.shape, -1))], dim=1)
        collected: dict[str, list[Tensor]] = {name: [] for name in collect}
        x, layers = self._through_blocks(x, length, held, sight, rows, lengths, state, collected)
        if state is not None:
            state = State(layers, state.lengths + (length if lengths is None else lengths))
        hidden = x if predicted is None else x[:, x.shape[1] - predicted.shape[1] :]
        return Output(rows.unpack(self.dropout(hidden)), state, collected=collected)

    def _through_blocks(
        self,
        x: Float[Tensor, "B Q D"],
        length: int,
        held: int,
        sight: Sight,
        rows: Unpadded,
        lengths: Int[Tensor, "R"] | None,
        state: State | None,
        collected: dict[str, list[Tensor]],
    ) -> tuple[Float[Tensor, "B _ D"], list[LayerState]]:
        """What comes out of the last block, and the memory with what each of them was given. ``x`` are the contents,
        ``length`` of them, and the queries; ``lengths`` those of the rows before they were packed."""
        layers: list[LayerState] = []
        for block in self.blocks:
            read = x[:, :length]
            if "hidden" in collected:
                collected["hidden"].append(rows.unpack(read))
            if state is not None:
                memory = state.layers[len(layers)]
                layers.append(memory.add(read, lengths))
                read = torch.cat([memory.last(held), read], dim=1)
            if sight.places is not None and block is self.blocks[-1] and not collected:
                x, sight = x[:, length:], sight.of_predictions()  # nobody reads the last contents
            x = block(x, read, sight, collected.get("attention"))
        if "hidden" in collected:
            collected["hidden"].append(rows.unpack(x[:, :length]))
        return x, layers

    def _sight(
        self,
        x: Float[Tensor, "B T D"],
        held: int,
        seen: Bool[Tensor, "B Q S"] | None,
        rows: Unpadded,
        types: Int[Tensor, "B T"] | None,
        predicted: Int[Tensor, "B P"] | None,
    ) -> Sight:
        """What all layers share: ``held`` tokens of memory stand before the new ones ``x``."""
        slices = rows.layout.slices if seen is None else None
        content = x.shape[1] if slices is None else max(group.shape[1] for group in slices.groups)
        span = held + content
        distances = torch.arange(span - 1, -content, -1, device=x.device)
        if self.config.furthest_tokens is not None:
            distances = distances.clamp(-self.config.furthest_tokens, self.config.furthest_tokens)
        mask, blind = (None, None) if seen is None else mask_of(seen, x.dtype)
        return Sight(
            distances=self.positions(distances[None], x.dtype)[0],
            content=content,
            places=None if predicted is None else _places(predicted, content, span),
            mask=mask,
            blind=blind,
            types=None if types is None else _one_hot(types.expand(x.shape[:2]), held, predicted, x.dtype),
            slices=slices,
        )


def _seen(
    x: Float[Tensor, "B T D"],
    held: int,
    past: Int[Tensor, "B"] | None,
    lengths: Int[Tensor, "B"] | None,
    ranks: Int[Tensor, "B T"] | None,
    predicted: Int[Tensor, "B P"] | None,
) -> Bool[Tensor, "B Q S"] | None:
    """Which query may look at which key, ``held`` of memory first; None where all see all."""
    rows, length, _ = x.shape
    seen = torch.ones(rows, 1, held + length, dtype=torch.bool, device=x.device)
    if past is not None:
        seen[:, 0, :held] = torch.arange(held, 0, -1, device=x.device) <= past[:, None]
    if lengths is not None:
        seen[:, 0, held:] = torch.arange(length, device=x.device) < lengths[:, None]
    if ranks is None:
        return None if bool(seen.all()) else seen.expand(-1, length, -1)
    order = ranks[:, None] <= ranks[:, :, None]
    if predicted is not None:
        order = torch.cat([order, ranks[:, None] < ranks.gather(1, predicted)[:, :, None]], dim=1)
    return seen & F.pad(order, (held, 0), value=True)


def _places(predicted: Int[Tensor, "B P"], content: int, span: int) -> Int[Tensor, "B P S"]:
    """Where the distance of a predicted position from each key stands among all."""
    return (content - 1 - predicted)[..., None] + torch.arange(span, device=predicted.device)


def _one_hot(
    types: Int[Tensor, "B T"], held: int, predicted: Int[Tensor, "B P"] | None, dtype: torch.dtype
) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B S C"]]:
    """The types of queries and of keys; a memory is of type 0."""
    keys = F.one_hot(F.pad(types, (held, 0))).to(dtype)
    queries = keys[:, held:]
    if predicted is None:
        return queries, keys
    of_predicted = queries.gather(1, predicted[..., None].expand(-1, -1, keys.shape[2]))
    return torch.cat([queries, of_predicted], dim=1), keys


SIZES = {
    "xlnet-base": XLNetConfig(),
    "xlnet-large": XLNetConfig(width=1024, layers=24, heads=16, inner_width=4096),
}
"""Section 3.1 of the paper (large), and the base model of its ablation (section 3.6) as published later."""


def weight_map(config: XLNetConfig) -> WeightMap:
    """Between our names and those of ``XLNetLMHeadModel`` and its sisters with other heads."""
    return xlnet_format.weights(config)
