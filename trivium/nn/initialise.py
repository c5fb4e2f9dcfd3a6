"""How weights begin: GPT-2's normal distribution, which most Transformers share, and one without its tails."""

import math

from torch import Tensor, nn

from trivium.nn.head import OutputHead


def normal_(module: nn.Module) -> None:
    """Weights of a linear layer, an embedding or an output head from N(0, 0.02^2), biases 0; for ``Module.apply``."""
    if isinstance(module, nn.Linear | nn.Embedding | OutputHead):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def smaller_residuals_(model: nn.Module, layers: int, std: float = 0.02) -> None:
    """What each of ``2 * layers`` sub-blocks adds begins smaller with their number, as the branches add up (Radford et
    al. 2019, section 2.3)."""
    for name, parameter in model.named_parameters():
        if name.endswith(("attention.output.weight", "feedforward.down.weight")):
            nn.init.normal_(parameter, std=std / math.sqrt(2 * layers))


def truncated_normal_(weight: Tensor, std: float) -> None:
    """From N(0, std^2) without what is further than 2 std from 0, as the programs of Santoro et al. 2018 and of RelGAN
    begin, mostly with a variance of one over what a unit reads."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
