"""Muon: momentum, orthogonalised (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks").

For a matrix W with gradient G and momentum buffer M:

    M <- mu M + (1 - mu) G        U = (1 - mu) G + mu M   (Nesterov)
    W <- W (1 - lr * decay) - lr * scale * orthogonalised(U)

where orthogonalised(U) replaces every singular value of U by about 1. `torch.optim.Muon` computes that in bfloat16,
five times slower on a CPU that has to emulate it, and one matrix at a time; here the format follows the hardware and
matrices of one shape go through together.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from trivium.nn.linear import batched_matmul_nt

# Coefficients of the quintic a X + b (X X^T) X + c (X X^T)^2 X, chosen by Jordan for the steepest rise at 0; five
# rounds bring singular values into about [0.7, 1.2], which is all that the update needs.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5

Scale = Literal["original", "match_rms_adamw"]


class Muon(torch.optim.Optimizer):
    """Muon for matrices; a stack of matrices (`[E, rows, columns]`) is updated matrix by matrix."""

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        scale: Scale = "original",
    ) -> None:
        """`parameters` are matrices, or groups of them with options of their own. `lr` is the rate of an update whose
        singular values are 1. `scale` multiplies it by `update_scale`."""
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "scale": scale})
        assert all(p.ndim >= 2 for group in self.param_groups for p in group["params"]), "Muon takes matrices only"

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        assert closure is None, "Muon evaluates nothing"
        for group in self.param_groups:
            by_shape: dict[tuple, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[(tuple(parameter.shape), parameter.dtype, parameter.device)].append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group)

    def _update(self, parameters: list[Tensor], group: dict) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self._momentum(parameter) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
        # A sharded matrix is put together for this, by every process: the product needs all of its rows.
        whole = torch.stack([n.full_tensor() if isinstance(n, DTensor) else n for n in nesterov])
        updates = orthogonalise(whole)
        rate = group["lr"]
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        step = rate * update_scale(group["scale"], *whole.shape[-2:])
        for parameter, update in zip(parameters, updates.unbind(), strict=True):
            parameter.add_(_like(update, parameter), alpha=-step)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]


def orthogonalise(matrices: Tensor) -> Tensor:
    """U V^T, about, from matrices `[..., rows, columns]` = U S V^T, by five rounds of a Newton-Schulz iteration.

    In bfloat16 on CUDA, as published; elsewhere in the dtype given.
    """
    a, b, c = QUINTIC
    x = matrices.bfloat16() if matrices.device.type == "cuda" else matrices
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # the products below are then of the smaller side
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # the largest singular value is now at most 1
    flat = x.reshape(-1, *x.shape[-2:])
    for _ in range(ROUNDS):
        gram = batched_matmul_nt(flat, flat)
        polynomial = batched_matmul_nt(gram, gram).mul_(c).add_(gram, alpha=b)  # gram is its own transpose
        flat = batched_matmul_nt(polynomial, flat.mT).add_(flat, alpha=a)
    x = flat.reshape(x.shape)
    return (x.mT if tall else x).to(matrices.dtype)


def update_scale(scale: Scale, rows: int, columns: int) -> float:
    """By what an orthogonal update `[rows, columns]` is multiplied.

    "original": sqrt(max(1, rows / columns)), Jordan's, which keeps the change of a layer's output alike over shapes.
    "match_rms_adamw": 0.2 sqrt(max(rows, columns)), after which AdamW's learning rates fit (Liu et al. 2025, "Muon is
    scalable for LLM training", section 2.2).
    """
    if scale == "original":
        return math.sqrt(max(1.0, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns))


def _like(whole: Tensor, parameter: Tensor) -> Tensor:
    """This process's share of `whole`, cut as `parameter` is."""
    if not isinstance(parameter, DTensor):
        return whole
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
