"""From hidden states to the vocabulary: tying, bias, scale, soft-capping, and losses that never hold all logits.

For 2,048 tokens and 32,000 pieces the logits alone are 262 MB, and cross-entropy as usually written
keeps three such tensors. Here they exist for ``CHUNK_ROWS`` positions at a time.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trivium.nn.linear import linear, matmul_nt
from trivium.nn.packed import Packable, Product

CHUNK_ROWS = 512  # measured: 256 to 1,024 rows are within 10 % of each other, 512 the fastest


class OutputHead(nn.Module, Packable):
    """Linear map to ``V`` logits: ``soft_cap * tanh(scale * (W h + b) / soft_cap)``.

    Call it as a module (or through its methods, which do so): sharding and adapters hook the call, so
    nothing outside reaches for ``weight``. ``tied_to`` shares the weight of the input embedding
    (Press and Wolf 2017); ``scale`` is Cohere's ``logit_scale`` or T5's ``D ** -0.5``; ``soft_cap``
    is Gemma 2's (section 2).
    """

    def __init__(
        self,
        width: int,
        vocabulary_size: int,
        *,
        tied_to: nn.Embedding | None = None,
        bias: bool = False,
        scale: float = 1.0,
        soft_cap: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary_size, width)) if tied_to is None else tied_to.weight
        assert self.weight.shape == (vocabulary_size, width), (self.weight.shape, vocabulary_size, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size)) if bias else None
        self.scale, self.soft_cap = scale, soft_cap

    def forward(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."] | None = None,
        weights: Float[Tensor, "..."] | None = None,
        reduce: bool = False,
        smoothing: float | None = None,
        normaliser: bool = False,
        temperature: float = 1.0,
    ) -> Float[Tensor, "..."]:
        """Logits ``[..., V]``, or with ``normaliser`` the logarithm of the sum of their exponentials ``[...]``; given
        ``targets``, their log-probabilities ``[...]`` (of the logits divided by ``temperature``), or with ``reduce``
        the (weighted) sum of their negative log-likelihoods in nats, or with ``smoothing`` as well ``[2]``: that sum
        for smoothed targets, and the plain one."""
        assert not (normaliser if targets is not None else reduce), "a sum is over targets, and a normaliser of none"
        rows = hidden.reshape(-1, hidden.shape[-1])
        if normaliser:
            return self._log_normaliser(rows).view(hidden.shape[:-1])
        if targets is None:
            if self.packed is not None and self.packed.of is self.weight and self.packed.fits(hidden):
                return _scaled(self.packed(hidden), self.scale, self.soft_cap)
            return _logits(hidden, self.weight, self.bias, self.scale, self.soft_cap)
        flat = targets.reshape(-1)
        if reduce:
            row_weights = None if weights is None else weights.reshape(-1)
            options = (self.scale, self.soft_cap, smoothing or 0.0)
            total, plain = _NllSum.apply(rows, self.weight, self.bias, flat, row_weights, *options)
            return total if smoothing is None else torch.stack((total, plain))
        options = (self.scale, self.soft_cap, temperature)
        return _LogProb.apply(rows, self.weight, self.bias, flat, *options).reshape(targets.shape)

    def product(self) -> Product | None:
        return self.weight, self.bias

    def logits(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Unnormalised log-probabilities of every piece."""
        return self(hidden)

    def log_prob(
        self, hidden: Float[Tensor, "... D"], targets: Int[Tensor, "..."], *, temperature: float = 1.0
    ) -> Float[Tensor, "..."]:
        """log p(target | hidden) in nats, differentiable, in chunks (recomputed in the backward pass), where p is the
        distribution that is sampled from at ``temperature``: softmax(logits / temperature)."""
        return self(hidden, targets, temperature=temperature)

    def nll_sum(
        self,
        hidden: Float[Tensor, "... D"],
        targets: Int[Tensor, "..."],
        weights: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, ""]:
        """sum_n w_n * -log p(target_n | hidden_n) in nats; ``w`` is 1 where ``weights`` is not given."""
        return self(hidden, targets, weights, reduce=True)

    def log_normaliser(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """log Z, the logarithm of the sum of exp(logit) over all pieces, differentiable, in chunks."""
        return self(hidden, normaliser=True)

    def _log_normaliser(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N"]:
        """The logit of any one piece less its log-probability: here of piece 0."""
        piece = rows.new_zeros(rows.shape[0], dtype=torch.long)
        log_prob = _LogProb.apply(rows, self.weight, self.bias, piece, self.scale, self.soft_cap, 1.0)
        bias = None if self.bias is None else self.bias[:1]
        return _logits(rows, self.weight[:1], bias, self.scale, self.soft_cap)[:, 0] - log_prob

    def smoothed_nll_sum(
        self, hidden: Float[Tensor, "... D"], targets: Int[Tensor, "..."], smoothing: float
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """``nll_sum`` where each target gives away ``smoothing`` of its probability, an equal share to each of the
        ``V`` pieces, itself included (Szegedy et al. 2016, section 7); and the plain ``nll_sum``, without gradient."""
        smoothed, plain = self(hidden, targets, reduce=True, smoothing=smoothing).unbind()
        return smoothed, plain.detach()


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, soft_cap: float | None) -> Tensor:
    logits = linear(hidden, weight, bias)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()  # a bf16 log-probability has two digits; autocast computes losses in fp32 as well
    return _scaled(logits, scale, soft_cap)


def _scaled(logits: Tensor, scale: float, soft_cap: float | None) -> Tensor:
    if scale != 1.0:
        logits = logits * scale
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    return logits


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1.0 else logits / temperature


def _d_linear(d_logits: Tensor, logits: Tensor, scale: float, soft_cap: float | None) -> Tensor:
    """Gradient at ``W h + b`` from the gradient at the final logits; writes into ``d_logits``."""
    if soft_cap is not None:
        d_logits *= 1 - (logits / soft_cap).square()  # d tanh = 1 - tanh^2
    if scale != 1.0:
        d_logits *= scale
    return d_logits


def _loss_and_gradient(
    logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted cross-entropies with smoothed and with plain targets ``[N]``, and the gradient of the first,
    w * (softmax - target), in the memory of ``logits``.

    One exponential an element: the softmax is what the normaliser was summed from.
    """
    index = torch.arange(targets.shape[0], device=targets.device)
    largest = logits.amax(dim=-1, keepdim=True)
    picked = logits[index, targets] - largest[:, 0]
    shifted = logits.sub_(largest)
    spread = shifted.mean(dim=-1) if smoothing else picked  # sum_v log p_v / V, but for the normaliser
    powers = shifted.exp_()
    normaliser = powers.sum(dim=-1)
    plain = normaliser.log() - picked
    smoothed = plain + smoothing * (picked - spread) if smoothing else plain
    gradient = powers.mul_(((1.0 if weights is None else weights) / normaliser)[:, None])
    gradient[index, targets] -= (1.0 - smoothing) * (1.0 if weights is None else weights)
    if smoothing:
        share = smoothing / logits.shape[-1]
        gradient -= share if weights is None else share * weights[:, None]
    return (smoothed, plain, gradient) if weights is None else (smoothed * weights, plain * weights, gradient)


class _NllSum(torch.autograd.Function):
    """Sums of cross-entropies, smoothed and plain; the first's gradients are made in the forward pass, chunk by chunk.

    The upstream gradient of a sum is one number, so the softmax of a chunk can be turned into its
    gradients while it is at hand: three matrix products in all, none recomputed.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, row_weights, scale, soft_cap, smoothing):
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        plain_total = total.clone()
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = torch.zeros_like(weight) if needs_weight else None
        d_bias = torch.zeros_like(bias) if needs_bias else None
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            chunk, chosen = hidden[rows], targets[rows]
            each = None if row_weights is None else row_weights[rows]
            logits = _logits(chunk, weight, bias, scale, soft_cap)
            kept = logits.clone() if soft_cap is not None else logits  # the cap's derivative needs them again
            smoothed, plain, d_logits = _loss_and_gradient(logits, chosen, each, smoothing)
            total += smoothed.sum()
            plain_total += plain.sum()
            if not (needs_hidden or needs_weight or needs_bias):
                continue
            d_logits = _d_linear(d_logits, kept, scale, soft_cap).to(weight.dtype)
            if d_hidden is not None:
                d_hidden[rows] = matmul_nt(d_logits, weight.t())
            if d_weight is not None:
                d_weight += matmul_nt(d_logits.t(), chunk.t().to(weight.dtype))
            if d_bias is not None:
                d_bias += d_logits.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.mark_non_differentiable(plain_total)
        return total, plain_total

    @staticmethod
    def backward(ctx, upstream, _):
        gradients = [None if d is None else d * upstream.to(d.dtype) for d in ctx.saved_tensors]
        return (*gradients, None, None, None, None, None)


class _LogProb(torch.autograd.Function):
    """Log-probabilities of given targets.

    Where the head is trained, the logits of a chunk are made again in the backward pass. Where it is frozen, the
    gradient of each log-probability at its hidden state is made in the forward pass, while the logits are at hand.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, scale, soft_cap, temperature):
        ctx.options = (scale, soft_cap, temperature)
        needs_hidden, *needs_head = ctx.needs_input_grad[:3]
        out = hidden.new_empty(hidden.shape[0], dtype=torch.promote_types(hidden.dtype, torch.float32))
        slopes = torch.empty_like(hidden) if needs_hidden and not any(needs_head) else None
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            logits = _logits(hidden[rows], weight, bias, scale, soft_cap)
            tempered = _tempered(logits, temperature)
            out[rows] = tempered.gather(-1, targets[rows, None])[:, 0] - torch.logsumexp(tempered, dim=-1)
            if slopes is not None:
                d_logits = _log_prob_slope(logits, targets[rows], *ctx.options)
                slopes[rows] = matmul_nt(d_logits.to(weight.dtype), weight.t())
        ctx.save_for_backward(*((hidden, weight, bias, targets) if slopes is None else (slopes,)))
        return out

    @staticmethod
    def backward(ctx, upstream):
        if len(ctx.saved_tensors) == 1:
            (slopes,) = ctx.saved_tensors
            return slopes * upstream[:, None].to(slopes.dtype), *[None] * 6
        hidden, weight, bias, targets = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if needs_hidden else None
        d_weight = torch.zeros_like(weight) if needs_weight else None
        d_bias = torch.zeros_like(bias) if needs_bias else None
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            logits = _logits(hidden[rows], weight, bias, *ctx.options[:2])
            d_logits = _log_prob_slope(logits, targets[rows], *ctx.options)
            d_logits = (d_logits * upstream[rows, None]).to(weight.dtype)
            if d_hidden is not None:
                d_hidden[rows] = matmul_nt(d_logits, weight.t())
            if d_weight is not None:
                d_weight += matmul_nt(d_logits.t(), hidden[rows].t().to(weight.dtype))
            if d_bias is not None:
                d_bias += d_logits.sum(0)
        return d_hidden, d_weight, d_bias, *[None] * 4


def _log_prob_slope(
    logits: Tensor, targets: Tensor, scale: float, soft_cap: float | None, temperature: float
) -> Tensor:
    """Gradient of each log-probability at ``W h + b``: one_hot - softmax, through temperature, cap and scale."""
    slope = torch.softmax(_tempered(logits, temperature), dim=-1).neg_()  # in place: it is as large as the logits
    slope[torch.arange(slope.shape[0], device=targets.device), targets] += 1.0
    if temperature != 1.0:
        slope /= temperature
    return _d_linear(slope, logits, scale, soft_cap)
