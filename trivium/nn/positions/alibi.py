"""ALiBi, attention with linear biases (Press et al. 2022, "Train Short, Test Long", section 3).

Nothing is added to the vectors. Each head takes a slope of its own times the distance off the score of a key, so that
some heads look far and others near, and a text may be longer than any in training.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trivium.nn.attention.kernel import Bias


def slopes(heads: int) -> list[float]:
    """The slope of each of ``heads`` heads.

    For 2^n heads a geometric series that starts at, and has the ratio, 2^(-8 / heads) (section 3). For another number
    those of the largest power of two below it, then every other one of the series for twice that power, as the
    authors' code has it (github.com/ofirpress/attention_with_linear_biases).
    """
    power = 1 << (heads.bit_length() - 1)
    between = [2 ** (-4 * n / power) for n in range(1, 2 * (heads - power), 2)]
    return [2 ** (-8 * n / power) for n in range(1, power + 1)] + between


def alibi(heads: int, like: Tensor) -> Bias:
    """What is added to the scores of ``heads`` heads, in the dtype and on the device of ``like``."""
    # Products in fp32 at least: bf16 knows no whole number beyond 256 but the even ones.
    wide = torch.promote_types(like.dtype, torch.float32)
    slope = torch.tensor(slopes(heads), dtype=wide, device=like.device)[:, None, None]

    def bias(queries: Int[Tensor, "*B T"], keys: Int[Tensor, "*C S"]) -> Float[Tensor, "*D H T S"]:
        distances = keys[..., None, :] - queries[..., :, None]
        return (slope * distances[..., None, :, :]).to(like.dtype)

    return bias
