"""GaLore: AdamW in a small subspace of each matrix's gradient (Zhao et al. 2024, algorithm 2).

For a gradient G `[m, n]` with m <= n, every T updates

    U S V^T = G,   P = U[:, :r]                               (`[m, r]`; for m > n the columns of V, from the right)

and in each of them, with AdamW's moments M and V `[r, n]` of the small gradient R = P^T G,

    W <- W - lr * scale * P (M / (sqrt(V) + eps))

so that the moments of a matrix take r (m + 2 n) numbers in place of 2 m n, and all of its weights still train. The
moments are kept when the subspace changes, as published.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trivium.errors import ConfigError
from trivium.training.one_by_one import OneByOne


class GaLoreAdamW(OneByOne):
    """AdamW; of matrices with both sides longer than ``rank`` in the subspace of their gradient."""

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        rank: int | None,
        every_steps: int = 200,
        scale: float = 0.25,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """``rank`` is r, None for plain AdamW, ``every_steps`` T and ``scale`` the paper's alpha; each may differ by
        group. Raises `ConfigError` for what is out of range and `Unsupported` for sharded parameters."""
        if (rank is not None and rank < 1) or every_steps < 1 or not scale > 0:
            raise ConfigError(
                "GaLore's rank, interval and scale are above 0",
                received=f"rank {rank}, every_steps {every_steps}, scale {scale}",
            )
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        defaults |= {"rank": rank, "every_steps": every_steps, "scale": scale}
        super().__init__(parameters, defaults, of_shares="the subspace of a sharded gradient")

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        gradient = gradient.float()
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
        rank: int | None = group["rank"]
        projected = rank is not None and gradient.ndim == 2 and min(gradient.shape) > rank
        if rank is not None and projected and int(state["step"]) % group["every_steps"] == 0:
            state["subspace"] = subspace(gradient, rank)
        small = into(gradient, state["subspace"]) if projected else gradient
        if "mean" not in state:
            state["mean"], state["square"] = torch.zeros_like(small), torch.zeros_like(small)
        state["step"] += 1
        update = _direction(small, state["mean"], state["square"], group, int(state["step"]))
        if projected:
            update = out_of(update, state["subspace"], gradient.shape).mul_(group["scale"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(update.mul_(group["lr"]).to(parameter.dtype))


def _direction(gradient: Tensor, mean: Tensor, square: Tensor, group: dict[str, Any], step: int) -> Tensor:
    """AdamW's quotient of both moments, which are updated in place."""
    beta1, beta2 = group["betas"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    return (mean / (1 - beta1**step)).div_((square / (1 - beta2**step)).sqrt_().add_(group["eps"]))


def subspace(gradient: Float[Tensor, "m n"], rank: int) -> Float[Tensor, "_ R"]:
    """The first ``rank`` singular vectors of the shorter side, as columns."""
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    vectors = left if gradient.shape[0] <= gradient.shape[1] else right.mT
    return vectors[:, :rank].contiguous()


def into(gradient: Float[Tensor, "m n"], vectors: Float[Tensor, "_ R"]) -> Float[Tensor, "_ _"]:
    """P^T G, ``[R, n]``; of a tall matrix G P, ``[m, R]``."""
    return vectors.mT @ gradient if gradient.shape[0] <= gradient.shape[1] else gradient @ vectors


def out_of(small: Tensor, vectors: Float[Tensor, "_ R"], shape: torch.Size) -> Float[Tensor, "m n"]:
    """Back to a matrix of ``shape``: P N, of a tall matrix N P^T."""
    return vectors @ small if shape[0] <= shape[1] else small @ vectors.mT
