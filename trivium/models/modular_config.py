"""What may be chosen of the modular decoder, and what cannot go together."""

from dataclasses import dataclass, field
from typing import Any, Literal

from trivium.errors import ConfigError
from trivium.models.decoder_format import check_heads
from trivium.models.own_format import read_config, write_config
from trivium.nn.feedforward import Activation
from trivium.nn.positions.rope import Rope

Positions = Literal["learned", "sinusoidal", "rope", "alibi", "shaw", "transformer_xl", "t5", "none"]
Attention = Literal["full", "window", "strided", "fixed", "block_sparse", "adaptive_span"]

_RELATIONS = ("shaw", "transformer_xl")
_PAIRED = {"sinusoidal": "width", "transformer_xl": "width", "rope": "width_of_head"}


@dataclass(frozen=True, kw_only=True)
class PatternConfig:
    """Which earlier tokens an attention that is not full looks at."""

    window_tokens: int = 256
    """window: a token sees itself and so many less one before it."""
    block_tokens: int = 32
    """strided, fixed, block_sparse: the stride, or the size of a block."""
    summary_tokens: int = 4
    """fixed: the last places of each block, which all later tokens see."""
    blocks_before: int = 1
    """block_sparse: earlier blocks that are seen beside one's own."""
    first_blocks: int = 1
    """block_sparse: blocks at the beginning of the text that all tokens see."""
    span_tokens: int = 512
    """adaptive_span: the longest span that a head may learn."""
    ramp_tokens: int = 32
    """adaptive_span: width of the slope at a span's end."""
    first_span_tokens: float = 0.0
    """adaptive_span: the span that every head begins with."""
    span_penalty: float = 2e-6
    """adaptive_span: weight of the mean span of each layer in the loss (Sukhbaatar et al. 2019, section 3)."""

    def __post_init__(self) -> None:
        lowest = {"first_blocks": 0, "blocks_before": 0, "first_span_tokens": 0, "span_penalty": 0}
        for name, value in vars(self).items():
            if value < lowest.get(name, 1):
                raise ConfigError(f"{name} is too small", received=value, expected=f"at least {lowest.get(name, 1)}")
        if self.first_span_tokens > self.span_tokens:
            raise ConfigError(
                "the first span is longer than the longest",
                received=f"first_span_tokens {self.first_span_tokens}, span_tokens {self.span_tokens}",
            )


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """The experts of feed-forward layers."""

    experts: int = 8
    """Experts a layer."""
    chosen: int = 2
    """Experts a token goes to."""
    balance_weight: float = 0.01
    """Weight of the loss that keeps the experts equally busy."""
    z_weight: float = 0.0
    """Weight of the loss that keeps the router's logits small."""

    def __post_init__(self) -> None:
        if not 1 <= self.chosen <= self.experts:
            raise ConfigError(
                "a token cannot go to so many experts", received=f"chosen {self.chosen}, experts {self.experts}"
            )


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Product-key memories (Lample et al. 2019) in the place of feed-forward layers."""

    layers: tuple[int, ...] = ()
    """Layers that have one, from 0."""
    half_keys: int = 128
    """Half-keys of either kind; its square is the number of slots."""
    chosen: int = 32
    """Slots that a head reads for a token."""
    heads: int = 4
    """Heads with queries and keys of their own."""
    key_width: int = 128
    """Width of a query and of a whole key."""

    def __post_init__(self) -> None:
        if not 1 <= self.chosen <= self.half_keys:
            raise ConfigError(
                "a head cannot read so many slots: they are sought among the best half-keys",
                received=f"chosen {self.chosen}, half_keys {self.half_keys}",
            )
        if self.key_width < 2 or self.key_width % 2:
            raise ConfigError("a key has two halves", received=f"key_width {self.key_width}", expected="an even width")


@dataclass(frozen=True, kw_only=True)
class ModularConfig:
    """A decoder's shape and parts; the defaults are a small LLaMA's."""

    vocabulary_size: int = 32000
    """Number of pieces V."""
    width: int = 512
    """Width D of the residual stream."""
    layers: int = 8
    """Number of blocks."""
    heads: int = 8
    """Attention heads H."""
    key_value_heads: int | None = None
    """Key and value heads G, which divides H; H where not given."""
    head_width: int | None = None
    """Width K of a head; width / heads where not given."""
    inner_width: int | None = None
    """Width F of the feed-forward layers, or of an expert; 4 * width where not given."""
    context_tokens: int = 1024
    """Longest text in training; of learned positions the number of vectors."""
    positions: Positions = "rope"
    """How a token's place is told: vectors that are added (learned, sinusoidal), a rotation of queries and keys (rope),
    a bias of the scores (alibi, t5), scores of content and distance together (shaw, transformer_xl), or not at all."""
    rope: Rope = field(default_factory=Rope)
    """rope: its base, and its scaling for longer texts."""
    furthest_tokens: int = 128
    """shaw, t5: distances from this one on are not told apart."""
    buckets: int = 32
    """t5: learned scores a head."""
    attention: Attention = "full"
    """Which earlier tokens are looked at: all, a window, a sparse pattern, or as far as each head learns to look."""
    pattern: PatternConfig = field(default_factory=PatternConfig)
    """Which those are, where they are not all."""
    qk_norm: bool = False
    """RMSNorm of the queries and keys of each head."""
    scale: float | None = None
    """Factor on the scores; 1 / sqrt(head width) where not given."""
    soft_cap: float | None = None
    """Scores are bent below this: cap * tanh(score / cap)."""
    sinks: bool = False
    """Each head learns the score of a key that has no value."""
    feedforward: Literal["plain", "gated", "experts"] = "gated"
    """Two matrices, three of which one is a gate, or experts (gated) of which a token goes to a few."""
    activation: Activation = "silu"
    """Non-linearity of the feed-forward layers."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """experts: how many, and what keeps them busy."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """Product-key memories in chosen layers."""
    norm: Literal["layer", "rms"] = "rms"
    """What stands before each sub-block and at the end."""
    norm_epsilon: float = 1e-5
    """Added to the variance, or mean square, in the norms."""
    parallel: bool = False
    """Attention and feed-forward layer read the same input, and their outputs are added (GPT-J)."""
    bias: bool = False
    """Biases in the projections of attention and in dense feed-forward layers."""
    dropout: float = 0.0
    """Dropout on embeddings and residual branches."""
    attention_dropout: float = 0.0
    """Dropout on attention probabilities."""
    tied: bool = True
    """Output weights are the input embedding."""

    def __post_init__(self) -> None:
        check_heads(self)
        if self.positions in _RELATIONS and self.attention not in ("full", "window"):
            raise ConfigError(
                f"{self.positions} positions score every key in reach by its distance, and {self.attention} attention "
                "gathers some of them",
                received=f"positions {self.positions}, attention {self.attention}",
                expected="attention full or window, or positions that are vectors, rotations or a bias",
            )
        if self.positions != "rope" and self.rope != Rope():
            raise ConfigError(
                "there are settings of rope, and no rope", received=f"positions {self.positions}", fix="leave rope out"
            )
        paired = _PAIRED.get(self.positions)
        if paired and getattr(self, paired) % 2:
            raise ConfigError(
                f"{self.positions} positions are pairs of features",
                received=f"{paired.replace('_', ' ')} {getattr(self, paired)}",
                expected="an even width",
            )
        if self.positions == "t5" and not 1 < self.buckets // 2 < self.furthest_tokens:
            raise ConfigError(
                "half of the buckets hold one distance each, and the others those up to the furthest",
                received=f"buckets {self.buckets}, furthest_tokens {self.furthest_tokens}",
            )
        pattern = self.pattern
        if self.attention == "fixed" and pattern.summary_tokens > pattern.block_tokens:
            raise ConfigError(
                "a block cannot hold so many tokens that sum it up",
                received=f"summary_tokens {pattern.summary_tokens}, block_tokens {pattern.block_tokens}",
            )
        if any(not 0 <= layer < self.layers for layer in self.memory.layers):
            raise ConfigError(
                "memory.layers are counted from 0", received=self.memory.layers, expected=f"below {self.layers}"
            )

    @property
    def groups(self) -> int:
        """Key and value heads G."""
        return self.key_value_heads or self.heads

    @property
    def width_of_head(self) -> int:
        """Head width K."""
        return self.head_width or self.width // self.heads

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "ModularConfig":
        """From a ``config.json`` of ours; ``ConfigError`` for a field that there is not."""
        return read_config(cls, config)

    def to_hf(self) -> dict[str, Any]:
        """The ``config.json``."""
        return write_config(self, "trivium-modular", "Modular")
