"""A feed-forward layer of many experts, of which each token passes through a few (Shazeer et al. 2017, eq. 1).

The pairs of a token and one of its experts are sorted by expert, so that every expert multiplies its own tokens in one
product: no padding, and no token is computed for an expert that it did not choose. One token reads the weights
of its chosen experts and no others.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trivium.nn.feedforward import Activation, GatedFeedForward, gated
from trivium.nn.linear import linear, matmul_nt
from trivium.nn.routing import Choice, Router, Routing, Routings, within_capacity


@dataclass(frozen=True, kw_only=True)
class ClampedSwiGLU:
    """gate * sigmoid(alpha * gate) * (up + 1), both clamped first; gates and ups take turns in the rows of the matrix
    (gpt-oss; OpenAI 2025, section 2.2 of the model card)."""

    alpha: float = 1.702
    """Slope of the sigmoid; with this one gate * sigmoid is close to GELU (Hendrycks and Gimpel 2016, section 2)."""
    limit: float = 7.0
    """Largest gate, and largest absolute value of up."""

    def __call__(self, gate_up: Float[Tensor, "... G"]) -> Float[Tensor, "... F"]:
        gate = gate_up[..., ::2].clamp(max=self.limit)
        up = gate_up[..., 1::2].clamp(-self.limit, self.limit)
        return gate * torch.sigmoid(self.alpha * gate) * (up + 1)


@dataclass(frozen=True)
class Grouping:
    """How rows stand that are sorted by expert."""

    sizes: list[int]
    """``sizes[e]`` rows belong to expert e, one expert after the other; rows beyond their sum to none."""
    tokens: Int[Tensor, "M"]
    """The token of each row."""
    count: int
    """Tokens of the pass."""


class Experts(nn.Module):
    """sum_e w_e W_down,e act(W_gate_up,e x) over the chosen experts, and the shared expert's output where there is one.

    The weights of all experts are stacked; a shared expert (Dai et al. 2024, section 3.2) of ``shared_width`` sees
    every token. ``capacity_factor`` limits in training how many choices an expert takes, see `within_capacity`; it
    needs the `Routings` of the pass, which know what is padding.
    """

    def __init__(
        self,
        width: int,
        inner_width: int,
        choice: Choice,
        *,
        activation: Activation | ClampedSwiGLU = "silu",
        bias: bool = False,
        router_bias: bool = False,
        shared_width: int = 0,
        capacity_factor: float | None = None,
    ) -> None:
        super().__init__()
        self.router = Router(width, choice, bias=router_bias)
        self.gate_up = GroupedLinear(choice.experts, width, 2 * inner_width, bias=bias)
        self.down = GroupedLinear(choice.experts, inner_width, width, bias=bias)
        self.shared = GatedFeedForward(width, shared_width, "silu") if shared_width else None
        self.activation: Activation | ClampedSwiGLU = activation
        self.capacity_factor = capacity_factor

    def forward(self, x: Float[Tensor, "B T D"], routings: Routings | None = None) -> Float[Tensor, "B T D"]:
        """``routings`` gets that of this layer; tokens that it calls padding go to no routed expert."""
        rows = x.reshape(-1, x.shape[-1])
        routing = self.router(rows)
        kept = None
        if routings is not None:
            routings.layers.append(routing)
            kept = self._kept(routing, routings.real)
        if rows.shape[0] == 1 and not torch.is_grad_enabled():
            y = self._of_one_token(rows, routing)
        else:
            y = self._routed(rows, routing, kept)
        y = y.view(x.shape)
        return y if self.shared is None else y + self.shared(x)

    def _kept(self, routing: Routing, real: Bool[Tensor, "N"] | None) -> Bool[Tensor, "N _"] | None:
        """Which choices are computed; None for all."""
        if self.training and self.capacity_factor is not None:
            return within_capacity(routing.chosen, self.router.choice.experts, self.capacity_factor, real)
        return None if real is None else real[:, None].expand_as(routing.chosen)

    def _inner(self, gate_up: Float[Tensor, "N G"]) -> Float[Tensor, "N F"]:
        if isinstance(self.activation, ClampedSwiGLU):
            return self.activation(gate_up)
        return gated(gate_up, self.activation)

    def _routed(
        self, rows: Float[Tensor, "N D"], routing: Routing, kept: Bool[Tensor, "N _"] | None
    ) -> Float[Tensor, "N D"]:
        experts, chosen = self.router.choice.experts, routing.chosen.shape[1]
        number = routing.chosen.flatten()
        if kept is not None:
            number = torch.where(kept.flatten(), number, experts)  # sorted behind the last expert
        order = number.argsort(stable=True)
        places = torch.empty_like(order)
        places[order] = torch.arange(order.shape[0], device=order.device)
        sizes = torch.bincount(number, minlength=experts).tolist()[:experts]
        sorted_rows = _Spread.apply(rows, order, places, chosen)
        grouping = Grouping(sizes, order // chosen, rows.shape[0])
        y = self.down(self._inner(self.gate_up(sorted_rows, grouping)), grouping)
        return _Gather.apply(y, routing.weights, order, places).to(rows.dtype)

    def _of_one_token(self, row: Float[Tensor, "1 D"], routing: Routing) -> Float[Tensor, "1 D"]:
        """Without the sorting, which takes longer than the products of a small model."""
        chosen, weights = routing.chosen[0].tolist(), routing.weights[0].unbind()
        parts = [self.down.of(e, self._inner(self.gate_up.of(e, row))) for e in chosen]
        total = parts[0] * weights[0]
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            total += part * weight
        return total.to(row.dtype)


class GroupedLinear(nn.Module):
    """One matrix an expert, ``weight [E, N, K]``: rows sorted by expert, each group times its own."""

    def __init__(self, experts: int, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.experts, self.inputs, self.outputs = experts, inputs, outputs
        self.weight = nn.Parameter(torch.empty(experts, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(experts, outputs)) if bias else None
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, rows: Float[Tensor, "M K"], grouping: Grouping) -> Float[Tensor, "M N"]:
        """Rows that belong to no expert give 0."""
        return grouped_linear(rows, self.weight, self.bias, grouping.sizes)

    def of(self, expert: int, rows: Float[Tensor, "M K"]) -> Float[Tensor, "M N"]:
        """All ``rows`` through one expert."""
        return linear(rows, self.weight[expert], None if self.bias is None else self.bias[expert])


def grouped_linear(
    rows: Float[Tensor, "M K"], weight: Float[Tensor, "E N K"], bias: Float[Tensor, "E N"] | None, sizes: list[int]
) -> Float[Tensor, "M N"]:
    """Each group of rows times the matrix of its expert; ``sizes`` as in `Grouping`."""
    if torch.is_autocast_enabled(rows.device.type):
        dtype = torch.get_autocast_dtype(rows.device.type)
        rows, weight, bias = rows.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if torch.is_grad_enabled():
        return _Grouped.apply(rows, weight, bias, sizes)
    return _grouped(rows, weight, bias, sizes)


def expert_slices(sizes: list[int]) -> list[tuple[int, slice]]:
    """The experts that have rows, and which."""
    found, start = [], 0
    for expert, size in enumerate(sizes):
        if size:
            found.append((expert, slice(start, start + size)))
        start += size
    return found


def _grouped(rows: Tensor, weight: Tensor, bias: Tensor | None, sizes: list[int]) -> Tensor:
    groups = expert_slices(sizes)
    parts = [linear(rows[own], weight[e], None if bias is None else bias[e]) for e, own in groups]
    without = rows.shape[0] - sum(sizes)
    if without or not parts:
        parts.append(rows.new_zeros(without, weight.shape[1]))
    return torch.cat(parts)


class _Grouped(torch.autograd.Function):
    """Written out because the gradient of ``weight[e]`` is, to autograd, a tensor as large as all experts together, an
    expert at a time."""

    @staticmethod
    def forward(ctx, rows, weight, bias, sizes):
        ctx.save_for_backward(rows, weight)
        ctx.sizes, ctx.has_bias = sizes, bias is not None
        return _grouped(rows, weight, bias, sizes)

    @staticmethod
    def backward(ctx, upstream):
        rows, weight = ctx.saved_tensors
        groups = expert_slices(ctx.sizes)
        d_rows = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            parts = [matmul_nt(upstream[own], weight[e].t()) for e, own in groups]
            d_rows = torch.cat([*parts, rows.new_zeros(rows.shape[0] - sum(ctx.sizes), rows.shape[1])])
        if ctx.needs_input_grad[1]:
            d_weight = torch.empty_like(weight)
            for e, own in groups:
                d_weight[e] = matmul_nt(upstream[own].t(), rows[own].t())
        if ctx.has_bias and ctx.needs_input_grad[2]:
            d_bias = upstream.new_empty(weight.shape[:2])
            for e, own in groups:
                d_bias[e] = upstream[own].sum(0)
        for e, size in enumerate(ctx.sizes):
            for gradient in (d_weight, d_bias):
                if not size and gradient is not None:
                    gradient[e] = 0.0
        return d_rows, d_weight, d_bias, None


class _Spread(torch.autograd.Function):
    """A row of ``[M, D]`` for each pair of a token and an expert, in sorted order. Its gradient gathers too, which is
    faster than adding row by row."""

    @staticmethod
    def forward(ctx, rows, order: Int[Tensor, "M"], places: Int[Tensor, "M"], chosen: int):
        ctx.save_for_backward(places)
        ctx.chosen = chosen
        return rows.index_select(0, order // chosen)

    @staticmethod
    def backward(ctx, upstream):
        (places,) = ctx.saved_tensors
        return upstream.index_select(0, places).unflatten(0, (-1, ctx.chosen)).sum(1), None, None, None


class _Gather(torch.autograd.Function):
    """sum_j weights[n, j] y[place of the pair (n, j)]: back to ``[N, D]``."""

    @staticmethod
    def forward(ctx, y, weights, order: Int[Tensor, "M"], places: Int[Tensor, "M"]):
        pairs = y.index_select(0, places).unflatten(0, weights.shape)
        ctx.save_for_backward(pairs, weights, order)
        return (pairs * weights[..., None]).sum(1)

    @staticmethod
    def backward(ctx, upstream):
        pairs, weights, order = ctx.saved_tensors
        d_y = upstream.index_select(0, order // weights.shape[1])
        d_y *= weights.flatten().index_select(0, order)[:, None]
        d_weights = (pairs * upstream[:, None]).sum(-1)
        return d_y.to(pairs.dtype), d_weights.to(weights.dtype), None, None
