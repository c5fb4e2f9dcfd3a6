"""From minutes and megabytes to a model: each choice with its reason, so that a reader can disagree with it."""

import dataclasses
import math
from collections.abc import Callable

from trivium.errors import ConfigError
from trivium.planning import scaling_laws


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a LLaMA-style decoder."""

    layers: int
    width: int
    heads: int
    inner_width: int
    vocabulary_size: int

    @property
    def block_parameters(self) -> int:
        """Matrices of the blocks: attention 4 D^2 and the gated feed-forward layer 3 D F, a layer."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.inner_width)

    @property
    def parameters(self) -> int:
        """With the embedding, which is the output layer too (tied); norms are left out."""
        return self.block_parameters + self.vocabulary_size * self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """One choice and why."""

    what: str
    value: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train and for how long."""

    shape: Shape
    context_tokens: int
    rows: int
    """Rows of `context_tokens` a step."""
    steps: int
    decisions: tuple[Decision, ...]
    """Every choice with its reason, in the order they were made."""

    @property
    def tokens(self) -> int:
        """Positions that all steps read."""
        return self.steps * self.rows * self.context_tokens


LADDER = ((3, 96), (4, 128), (5, 160), (5, 192), (6, 256), (8, 384), (8, 512), (12, 768))
"""(layers, width) of the candidates: about twice the parameters from one to the next, wider and deeper together."""
_HEAD_WIDTH = 32
_CONTEXT_TOKENS = 256
_TOKENS_A_STEP = 2048
_FEWEST_STEPS = 8

_SMALLEST_VOCABULARY, _LARGEST_VOCABULARY = 512, 32_768
# With more pieces each says more, and fewer are to be read; but what is hardly ever seen is hardly learnt.
_OCCURRENCES_A_PIECE = 150
# Most parameters of the embedding for one of the blocks: 3 x 96 did worse with 8,192 pieces (2.4) than 4,096 (1.2).
_EMBEDDING_TO_BLOCKS = 2


def plan(seconds: float, text_bytes: int, tokens_per_second: Callable[[Shape], float]) -> Plan:
    """The model that should have the least loss after `seconds` of training on `text_bytes` of text.

    `tokens_per_second` gives the speed of training a shape on this machine, measured or estimated; it is asked for one
    candidate after the other, the smallest first, until the next is no better. Raises `ConfigError` where the time
    does not suffice for a few steps of the smallest.
    """
    tried: list[tuple[Shape, float, float]] = []
    for layers, width in LADDER:
        shape = _shape(layers, width, text_bytes)
        speed = tokens_per_second(shape)
        tried.append((shape, speed, _foretold(shape, speed * seconds, text_bytes)))
        if len(tried) > 1 and tried[-1][2] >= tried[-2][2]:
            break
    shape, speed, _ = min(tried, key=lambda candidate: candidate[2])
    steps = int(seconds * speed / _TOKENS_A_STEP)
    if steps < _FEWEST_STEPS:
        raise ConfigError(
            "there is too little time to train even a small model",
            received=f"{seconds:.0f} s of training at {speed:,.0f} tokens/s",
            expected=f"time for at least {_FEWEST_STEPS} steps of {_TOKENS_A_STEP} tokens",
            fix="give more minutes",
        )
    return Plan(
        shape=shape,
        context_tokens=_CONTEXT_TOKENS,
        rows=_TOKENS_A_STEP // _CONTEXT_TOKENS,
        steps=steps,
        decisions=_explained(tried, shape, speed, steps, seconds, text_bytes),
    )


def vocabulary_for(text_bytes: int) -> int:
    """Pieces of a vocabulary for so much text: the power of two at which each occurs about often enough.

    Tao et al. 2024 ("Scaling Laws with Vocabulary") tie the vocabulary to the size of the network; for ours their law
    gives 1,024 pieces, and 4,096 did better by a tenth at equal steps (docs/log.md): their models read far more text.
    """
    size = float(_SMALLEST_VOCABULARY)
    while size < _LARGEST_VOCABULARY and text_bytes / bytes_per_token(2 * size) / (2 * size) >= _OCCURRENCES_A_PIECE:
        size *= 2
    return int(size)


def bytes_per_token(vocabulary_size: float) -> float:
    """Roughly the bytes of English and code that a piece of a byte-level BPE of this size stands for."""
    return 0.44 * math.log2(vocabulary_size) - 2.05


def _shape(layers: int, width: int, text_bytes: int) -> Shape:
    # 8/3 of the width keeps a gated layer at the size of a plain one of four widths (Shazeer 2020, section 2).
    inner = -(-8 * width // 3 // 32) * 32
    blocks = layers * (4 * width**2 + 3 * width * inner)
    pieces = vocabulary_for(text_bytes)
    while pieces > _SMALLEST_VOCABULARY and pieces * width > _EMBEDDING_TO_BLOCKS * blocks:
        pieces //= 2
    return Shape(layers=layers, width=width, heads=width // _HEAD_WIDTH, inner_width=inner, vocabulary_size=pieces)


def _foretold(shape: Shape, tokens: float, text_bytes: int) -> float:
    unique = text_bytes / bytes_per_token(shape.vocabulary_size)
    return scaling_laws.loss_with_repetition(shape.parameters, tokens, unique)


def _explained(
    tried: list[tuple[Shape, float, float]], shape: Shape, speed: float, steps: int, seconds: float, text_bytes: int
) -> tuple[Decision, ...]:
    unique = text_bytes / bytes_per_token(shape.vocabulary_size)
    tokens = steps * _TOKENS_A_STEP
    others = "; ".join(f"{s.layers} x {s.width} at {r:,.0f} tokens/s: {foretold:.2f}" for s, r, foretold in tried)
    return (
        Decision(
            what="model",
            value=f"{shape.layers} layers of width {shape.width}, {shape.parameters:,} parameters",
            reason=f"of the sizes measured, the data-constrained scaling law foretells the least loss for it after "
            f"{seconds:.0f} s (in nats a token that mean little here; their order matters): {others}",
        ),
        Decision(
            what="vocabulary",
            value=f"{shape.vocabulary_size:,} pieces",
            reason="with more pieces each says more, and fewer are to be read; but a piece must occur often enough to "
            f"be learnt: these occur {unique / shape.vocabulary_size:,.0f} times each on average",
        ),
        Decision(
            what="heads",
            value=f"{shape.heads} of width {_HEAD_WIDTH}",
            reason="narrower heads have too few directions to tell positions apart by rotation",
        ),
        Decision(
            what="batch",
            value=f"{_TOKENS_A_STEP // _CONTEXT_TOKENS} rows of {_CONTEXT_TOKENS} tokens",
            reason="longer rows look back further, but a step has fewer of them; with fewer tokens a step Muon's own "
            "work weighs",
        ),
        Decision(
            what="steps",
            value=f"{steps:,}",
            reason=f"{tokens:,} tokens at {speed:,.0f} a second: {tokens / unique:.1f} passes over about {unique:,.0f} "
            f"unique tokens, worth {scaling_laws.effective_tokens(tokens, unique) / tokens:.0%} of new ones",
        ),
    )
