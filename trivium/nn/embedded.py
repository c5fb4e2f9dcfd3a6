"""The first line of every ``forward``: vectors of tokens, or vectors given instead of them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def embedded(
    model: nn.Module, tokens: Int[Tensor, "B T"] | None, embeddings: Float[Tensor, "B T D"] | None
) -> Float[Tensor, "B T D"]:
    """``model.embed(tokens)``, or ``embeddings`` (soft prompts, images, a generator's soft tokens); one of the two."""
    assert (tokens is None) != (embeddings is None), "give either tokens or embeddings"
    return model.embed(tokens) if embeddings is None else embeddings


def scaled(x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """Vectors of tokens times sqrt(D).

    The factor is rounded as they are: Gemma was trained in bf16, where sqrt(3072) is 55.5.
    """
    return x * torch.tensor(x.shape[-1] ** 0.5, dtype=x.dtype)
