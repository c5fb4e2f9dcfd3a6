"""How weights begin: GPT-2's normal distribution, which BERT, GPT-2 and LLaMA share."""

from torch import nn

from trivium.nn.head import OutputHead


def normal_(module: nn.Module) -> None:
    """Weights of a linear layer, an embedding or an output head from N(0, 0.02^2), biases 0; for ``Module.apply``."""
    if isinstance(module, nn.Linear | nn.Embedding | OutputHead):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
