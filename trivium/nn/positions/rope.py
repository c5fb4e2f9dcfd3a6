"""Rotary position embedding (Su et al. 2021, section 3.2) and every way of stretching it.

Each pair of features (x_j, x_{j + K/2}) of a query or key at position m is turned by the angle
m * theta_j with theta_j = base^(-2j/K) (eq. 15), so that a dot product depends on the distance alone.
The pairing of the first half with the second is GPT-NeoX's and Hugging Face's; the paper pairs
neighbours (``neighbours=True``; GPT-J, Cohere), which is the same up to a fixed permutation of the features. Where
angles are given for fewer features than a head has, only its first features turn.

Scalings change theta_j, and some of them the size of the result:
linear (Chen et al. 2023), dynamic NTK (bloc97 and emozilla 2023), YaRN (Peng et al. 2023, section 3),
LongRoPE (Ding et al. 2024), Llama 3.1's piecewise one (Grattafiori et al. 2024, section 3.4.3), and
Gemma's proportional one (only a share of the pairs turns at all).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.errors import ConfigError

Kind = Literal["default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_HF_NAMES = {
    "base": "rope_theta",
    "factor": "factor",
    "original_context_tokens": "original_max_position_embeddings",
    "low_frequency_factor": "low_freq_factor",
    "high_frequency_factor": "high_freq_factor",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "truncate": "truncate",
    "attention_factor": "attention_factor",
    "mscale": "mscale",
    "mscale_all": "mscale_all_dim",
    "short_factors": "short_factor",
    "long_factors": "long_factor",
    "turning_share": "partial_rotary_factor",
}


@dataclass(frozen=True, kw_only=True)
class Rope:
    """The angles of a rotary embedding; fields a kind does not use stay ``None``."""

    kind: Kind = "default"
    """How the angles are scaled for contexts longer than those trained on."""
    base: float = 10000.0
    """Base of the geometric series of angles (``rope_theta``)."""
    factor: float | None = None
    """How many times longer the context becomes."""
    original_context_tokens: int | None = None
    """Context length of pre-training, before stretching."""
    low_frequency_factor: float | None = None
    """Llama 3.1: wavelengths above original / low are divided by ``factor``."""
    high_frequency_factor: float | None = None
    """Llama 3.1: wavelengths below original / high are left alone."""
    beta_fast: float | None = None
    """YaRN: pairs that turn more often than this in the original context are left alone (default 32)."""
    beta_slow: float | None = None
    """YaRN: pairs that turn less often than this are fully interpolated (default 1)."""
    truncate: bool | None = None
    """YaRN: round the borders of the ramp to whole pairs (default true)."""
    attention_factor: float | None = None
    """Size of the turned vectors; default as the kind prescribes."""
    mscale: float | None = None
    """YaRN: weight of log(factor) in the size (DeepSeek)."""
    mscale_all: float | None = None
    """YaRN: the same in the denominator."""
    short_factors: tuple[float, ...] | None = None
    """LongRoPE: divisor of each angle up to the original context."""
    long_factors: tuple[float, ...] | None = None
    """LongRoPE: divisor of each angle beyond it."""
    turning_share: float | None = None
    """Share of a head's features that turn; under "proportional" all are paired, and the others turn by nothing."""

    def __post_init__(self) -> None:
        required = {
            "linear": ("factor",),
            "dynamic": ("factor",),
            "yarn": ("original_context_tokens",),
            "longrope": ("original_context_tokens", "short_factors", "long_factors"),
            "llama3": ("factor", "original_context_tokens", "low_frequency_factor", "high_frequency_factor"),
        }
        missing = [name for name in required.get(self.kind, ()) if getattr(self, name) is None]
        if missing:
            raise ConfigError(
                f"RoPE scaling {self.kind!r} lacks {', '.join(missing)}",
                fix=f"add {', '.join(_HF_NAMES[name] for name in missing)} to rope_parameters in config.json",
            )

    def turning_width(self, head_width: int) -> int:
        """How many features of a head are given angles."""
        return head_width if self.kind == "proportional" else int(head_width * (self.turning_share or 1.0))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> "Rope":
        """From a ``config.json``: ``rope_parameters`` (transformers 5) or ``rope_theta`` and ``rope_scaling`` (4)."""
        stated = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        kind = stated.pop("rope_type", None) or stated.pop("type", None) or "default"
        stated.pop("type", None)
        if kind not in KINDS:
            raise ConfigError("unknown RoPE scaling in config.json", received=repr(kind), expected=", ".join(KINDS))
        stated.setdefault("rope_theta", config.get("rope_theta", 10000.0))
        if kind in ("yarn", "longrope") and stated.get("original_max_position_embeddings") is None:
            stated["original_max_position_embeddings"] = (
                config.get("original_max_position_embeddings") or config["max_position_embeddings"]
            )
        ours = {theirs: name for name, theirs in _HF_NAMES.items()}
        unknown = sorted(set(stated) - set(ours))
        if unknown:
            raise ConfigError(
                "config.json has RoPE parameters that are not known here",
                received=", ".join(unknown),
                expected=", ".join(sorted(ours)),
            )
        values: dict[str, Any] = {ours[key]: value for key, value in stated.items()}
        for name in ("short_factors", "long_factors"):
            values[name] = tuple(values[name]) if values.get(name) is not None else None
        return cls(kind=kind, **{name: value for name, value in values.items() if value is not None})

    def to_hf(self) -> dict[str, Any]:
        """The ``rope_parameters`` of transformers 5."""
        stated = {theirs: getattr(self, name) for name, theirs in _HF_NAMES.items()}
        listed = {key: list(value) if isinstance(value, tuple) else value for key, value in stated.items()}
        return {"rope_type": self.kind} | {key: value for key, value in listed.items() if value is not None}


def angles(rope: Rope, head_width: int, context_tokens: int, length: int) -> tuple[Float[Tensor, "_"], float]:
    """theta_j of each pair (radians a token, fp32) and the factor on the turned vectors.

    ``length`` is the last position plus one: dynamic NTK and LongRoPE depend on it.
    """
    exponents = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
    theta = 1.0 / rope.base**exponents
    if rope.kind == "linear":
        assert rope.factor is not None
        return theta / rope.factor, 1.0
    if rope.kind == "dynamic":
        return _dynamic(rope, head_width, context_tokens, length, exponents), 1.0
    if rope.kind == "yarn":
        return _yarn(rope, head_width, context_tokens, theta)
    if rope.kind == "longrope":
        return _longrope(rope, context_tokens, length, theta)
    if rope.kind == "llama3":
        return _llama3(rope, theta), 1.0
    if rope.kind == "proportional":
        turning = int((rope.turning_share or 1.0) * head_width // 2)
        return torch.where(torch.arange(head_width // 2) < turning, theta, 0.0) / (rope.factor or 1.0), 1.0
    return theta, 1.0


def _dynamic(rope: Rope, head_width: int, context_tokens: int, length: int, exponents: Tensor) -> Tensor:
    """The base grows with the text, so that its slowest pair never turns further than in training."""
    assert rope.factor is not None
    stretch = rope.factor * max(length, context_tokens) / context_tokens - (rope.factor - 1)
    return 1.0 / (rope.base * stretch ** (head_width / (head_width - 2))) ** exponents


def _yarn(rope: Rope, head_width: int, context_tokens: int, theta: Tensor) -> tuple[Tensor, float]:
    """NTK by parts (Peng et al. 2023, eq. 17-19): fast pairs kept, slow ones interpolated, a ramp between."""
    original = rope.original_context_tokens
    assert original is not None
    factor = rope.factor if rope.factor is not None else context_tokens / original

    def pair_turning(times: float) -> float:
        return head_width * math.log(original / (times * 2 * math.pi)) / (2 * math.log(rope.base))

    low, high = pair_turning(rope.beta_fast or 32), pair_turning(rope.beta_slow or 1)
    if rope.truncate is None or rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_width - 1)
    high = high + 0.001 if low == high else high
    slow = ((torch.arange(head_width // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)

    def size(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0  # eq. 22

    attention = rope.attention_factor
    if attention is None:
        attention = size(rope.mscale) / size(rope.mscale_all) if rope.mscale and rope.mscale_all else size(1.0)
    return theta / factor * slow + theta * (1 - slow), attention


def _longrope(rope: Rope, context_tokens: int, length: int, theta: Tensor) -> tuple[Tensor, float]:
    original = rope.original_context_tokens
    assert original is not None and rope.short_factors is not None and rope.long_factors is not None
    factor = rope.factor if rope.factor is not None else context_tokens / original
    attention = rope.attention_factor
    if attention is None:
        attention = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    divisors = rope.long_factors if length > original else rope.short_factors
    return theta / torch.tensor(divisors, dtype=torch.float32), attention


def _llama3(rope: Rope, theta: Tensor) -> Tensor:
    assert rope.factor is not None and rope.original_context_tokens is not None
    assert rope.low_frequency_factor is not None and rope.high_frequency_factor is not None
    low, high = rope.low_frequency_factor, rope.high_frequency_factor
    turns = rope.original_context_tokens * theta / (2 * math.pi)  # full turns within the original context
    smooth = ((turns - low) / (high - low)).clamp(0, 1)  # 0: divided by the factor, 1: left alone
    return (1 - smooth) * theta / rope.factor + smooth * theta


class Rotary(nn.Module):
    """The rotations of one forward pass, computed once and used by every layer."""

    def __init__(self, rope: Rope, head_width: int, context_tokens: int) -> None:
        super().__init__()
        if head_width % 2:
            raise ConfigError("RoPE turns pairs of features", received=f"head width {head_width}", expected="even")
        self.rope, self.head_width, self.context_tokens = rope, head_width, context_tokens
        self.follows_length = rope.kind in ("dynamic", "longrope")

    def forward(
        self, positions: Int[Tensor, "_ T"], dtype: torch.dtype, reach: Int[Tensor, "_ _"] | None = None
    ) -> Float[Tensor, "2 _ T 1 _"]:
        """cos and sin of every angle, scaled, in ``dtype``; the angles themselves in fp32 or fp64.

        ``reach`` is the length of the text that a token is of (`Layout.reach`), which some kinds go by; where it is not
        given all are of one text. In bf16 a position above 256 is no longer exact (transformers #29285).
        """
        if self.follows_length:
            theta, size = self._by_length(positions.max()[None, None] + 1 if reach is None else reach)
        else:
            theta, size = angles(self.rope, self.head_width, self.context_tokens, 0)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        turned = positions[..., None].to(wide) * theta.to(device=positions.device, dtype=wide)
        return (torch.stack([turned.cos(), turned.sin()]) * size).to(dtype)[:, :, :, None]

    def beyond(self, reach: Int[Tensor, "*_"]) -> Bool[Tensor, "*_"]:
        """Which texts are longer than the context before it was stretched: LongRoPE turns those by other angles."""
        assert self.rope.original_context_tokens is not None
        return reach > self.rope.original_context_tokens

    def _by_length(self, reach: Int[Tensor, "*_"]) -> tuple[Float[Tensor, "*_ P"], float]:
        """``angles`` of texts of so many tokens."""
        if self.rope.kind == "longrope":  # all on one side of its border are alike
            reach = self.beyond(reach) + (self.rope.original_context_tokens or 0)
        lengths, which = reach.unique(return_inverse=True)
        found = [angles(self.rope, self.head_width, self.context_tokens, length) for length in lengths.tolist()]
        return torch.stack([theta for theta, _ in found]).to(reach.device)[which], found[0][1]


def rotate(
    x: Float[Tensor, "B T H K"], rotation: Float[Tensor, "2 _ T 1 _"], neighbours: bool = False
) -> Float[Tensor, "B T H K"]:
    """Turn each pair of ``x`` by its angle (Su et al. 2021, eq. 34); features beyond the angles' are left alone."""
    turning = 2 * rotation.shape[-1]
    if turning < x.shape[-1]:
        return torch.cat([rotate(x[..., :turning], rotation, neighbours), x[..., turning:]], dim=-1)
    if torch.is_grad_enabled():
        return _Rotate.apply(x, rotation, neighbours)
    return _turn(x, rotation[0], rotation[1], neighbours)


class _Rotate(torch.autograd.Function):
    """Written out because the usual x * cos + rotate_half(x) * sin copies ``x`` twice more; the
    gradient of a rotation is the rotation back."""

    @staticmethod
    def forward(ctx, x, rotation, neighbours):
        ctx.save_for_backward(rotation)
        ctx.neighbours = neighbours
        return _turn(x, rotation[0], rotation[1], neighbours)

    @staticmethod
    def backward(ctx, upstream):
        (rotation,) = ctx.saved_tensors
        return _turn(upstream, rotation[0], -rotation[1], ctx.neighbours), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, neighbours: bool) -> Tensor:
    first, second = _pairs(x, neighbours)
    if torch.compiler.is_compiling():  # fuses these by itself, and cannot follow writing into slices
        turned = (first * cos - second * sin, second * cos + first * sin)
        return torch.stack(turned, dim=-1).flatten(-2) if neighbours else torch.cat(turned, dim=-1)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    out_first, out_second = _pairs(out, neighbours)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
    return out


def _pairs(x: Tensor, neighbours: bool) -> tuple[Tensor, Tensor]:
    """The first and the second features of all pairs, as views."""
    if neighbours:
        return x[..., ::2], x[..., 1::2]
    half = x.shape[-1] // 2
    return x[..., :half], x[..., half:]
