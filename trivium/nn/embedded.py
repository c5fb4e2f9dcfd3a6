"""The first line of every ``forward``: vectors of tokens, or vectors given instead of them."""

from jaxtyping import Float, Int
from torch import Tensor, nn


def embedded(
    model: nn.Module, tokens: Int[Tensor, "B T"] | None, embeddings: Float[Tensor, "B T D"] | None
) -> Float[Tensor, "B T D"]:
    """``model.embed(tokens)``, or ``embeddings`` (soft prompts, images, a generator's soft tokens); one of the two."""
    assert (tokens is None) != (embeddings is None), "give either tokens or embeddings"
    return model.embed(tokens) if embeddings is None else embeddings
