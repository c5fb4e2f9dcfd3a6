"""Keep only the inputs of each block and compute the block again in the backward pass (Chen et al. 2016).

Activation memory falls from all layers' to one layer's, for about a third more computation.
"""

import functools

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(model: nn.Module) -> None:
    """Makes every block of `model.blocks` recompute its activations for a backward pass; what has none is untouched.

    So it does in evaluation mode, in which some objectives train. Names of parameters stay as they are. Dropout draws
    the same numbers twice. Apply before compiling and sharding.
    """
    for block in model.blocks.children():
        block.forward = _recomputed(block, block.forward)


def _recomputed(block: nn.Module, forward):
    @functools.wraps(forward)
    def run(*arguments, **options):
        if not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, **options)

    return run
