"""The coverage penalty: a translation that leaves part of its source unread loses by it (Wu et al. 2016, eq. 14)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.errors import Unsupported
from trivium.generation.reading import start_on_sources
from trivium.nn.output import Output
from trivium.nn.state import State


def read_attending(
    model: nn.Module, sources: Sequence[list[int]], new_tokens: int, start_id: int
) -> tuple[Float[Tensor, "P D"], State, Float[Tensor, "P S"]]:
    """``read_sources``, with the attention of the start token to each source as well.

    ``Unsupported`` where the model does not show how it looks at its source.
    """
    output = start_on_sources(model, sources, new_tokens, start_id, ("cross_attention",))
    if not output.collected["cross_attention"]:
        raise Unsupported(
            "this model does not show its attention to the source",
            received="a coverage penalty",
            fix="leave coverage_penalty out",
        )
    assert output.state is not None
    return output.hidden[:, 0], output.state, attention_to_source(output)


def attention_to_source(output: Output) -> Float[Tensor, "R S"]:
    """p_ij of the step's one token, the mean over layers and heads."""
    return torch.stack(output.collected["cross_attention"]).mean((0, 2))[:, -1]


def coverage_of(attended: Float[Tensor, "R S"], lengths: Int[Tensor, "R"]) -> Float[Tensor, "R"]:
    """sum_i log(min(sum_j p_ij, 1)) over the source tokens i, given the sums over the target tokens j.

    The smallest number there is stands for an attention of 0, so that the penalty stays finite.
    """
    real = torch.arange(attended.shape[1], device=attended.device) < lengths[:, None]
    logs = attended.clamp(min=torch.finfo(attended.dtype).tiny, max=1.0).log()
    return torch.where(real, logs, 0.0).sum(-1)
