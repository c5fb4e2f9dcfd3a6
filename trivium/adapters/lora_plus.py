"""LoRA+: B learns faster than A (Hayou et al. 2024)."""

from torch import nn

from trivium.adapters.adapted_embedding import EmbeddingUpdate
from trivium.adapters.attach import adapter_parameters


def learning_rate_factors(model: nn.Module, name: str, ratio: float) -> dict[str, float]:
    """LoRA+ (Hayou et al. 2024, section 4): B learns ``ratio`` times as fast as A; their recommendation is 16.

    By parameter name, for the parameters of the adapter ``name``. Of an embedding it is A that begins as zero and
    takes B's part. ``ConfigError`` for a name that is not attached.
    """
    factors = {}
    for path in adapter_parameters(model, name):
        module = model.get_submodule(path.rpartition(".")[0])
        fast = "A" if isinstance(module, EmbeddingUpdate) else "B"
        factors[path] = ratio if path.rpartition(".")[2] == fast else 1.0
    return factors
