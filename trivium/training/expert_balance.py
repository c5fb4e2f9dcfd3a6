"""Experts are kept equally used without a loss: their corrections move after each update of the weights (Wang et al.
2024, algorithm 1), by what was chosen in all micro-batches and all processes."""

import torch.distributed as dist
from torch import nn

from trivium.nn.routing import Router


def balance_experts(model: nn.Module, *, updated: bool = True) -> None:
    """Moves the correction of every router in ``model`` that counted since the last call; nothing for other models.

    Where the weights were not ``updated``, what was counted is forgotten. Every process calls it, with the routers of
    the same model.
    """
    for router in [module for module in model.modules() if isinstance(module, Router)]:
        load = router.take_load()
        if load is None or not updated:
            continue
        if dist.is_initialized():
            dist.all_reduce(load)
        router.rebalance(load)
