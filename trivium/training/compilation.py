"""`torch.compile`, block by block.

All blocks of a model share one compiled program, so it takes a fraction of the time that the whole network would, and
a graph break in the embedding or the head costs nothing. Worth it for runs longer than about a minute and a half on
two cores.
"""

from torch import nn


def compile_blocks(model: nn.Module) -> None:
    """Makes every block of `model.blocks` compile on first use. Names of parameters stay as they are."""
    for block in model.blocks.children():
        block.compile()
