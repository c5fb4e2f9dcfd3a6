"""Which experts a token goes to: scores, choice and weights, capacity, and the losses that keep the choice even.

A router gives each token a logit an expert (Shazeer et al. 2017, section 2.1). How those become the chosen experts and
their weights differs from family to family, and is data here: see `Choice`. All of that is in float32 at least, as
small errors in a logit change the choice (Fedus et al. 2021, section 2.4); so are the logits under autocast, and those
of sigmoid scores in a model of any dtype, as DeepSeek-V3's published code has it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from trivium.errors import ConfigError
from trivium.nn.linear import Linear, linear
from trivium.nn.real_tokens import real_tokens

Scores = Literal["softmax", "sigmoid"]

_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How logits become chosen experts and weights.

    Mixtral, Qwen3 and gpt-oss take the softmax of the chosen logits, which is that of all, renormalised. Without
    ``renormalise`` the weights of a token add up to less than 1 (Fedus et al. 2021, Grok-1). DeepSeek-V3 (DeepSeek-AI
    2024, section 2.1.2) has sigmoid scores, a correction that takes part in the choice alone, and groups.
    """

    experts: int
    """Number of experts E."""
    chosen: int
    """Experts that a token goes to."""
    scores: Scores = "softmax"
    """What is made of the logits: over all experts together, or of each by itself."""
    renormalise: bool = True
    """The weights of a token's experts add up to 1, before ``scaling``."""
    scaling: float = 1.0
    """Factor on the weights."""
    correction: bool = False
    """A number an expert (a buffer) is added to the sigmoid scores for the choice, not for the weights."""
    correction_rate: float = 0.0
    """By how much each update of the weights moves those numbers, see `Router.rebalance`."""
    groups: int = 1
    """Groups that the experts stand in, one after the other."""
    chosen_groups: int = 1
    """Groups that a token may choose from: those whose two best experts have the largest sum."""

    def __post_init__(self) -> None:
        if not 1 <= self.chosen <= self.experts:
            raise ConfigError(
                "a token cannot go to so many experts",
                received=f"{self.chosen} of {self.experts}",
                expected="1 to the number of experts",
            )
        plain = not self.correction and self.groups == 1
        if self.scores == "softmax" and not plain:
            raise ConfigError("a correction and groups need sigmoid scores", received="softmax")
        if not 0 <= self.correction_rate < math.inf:
            raise ConfigError("no correction has such a rate", received=self.correction_rate, expected="0 or more")
        self._check_groups()

    def _check_groups(self) -> None:
        width = self.experts // self.groups
        divides, enough = self.experts % self.groups == 0, self.chosen <= self.chosen_groups * width
        if not (divides and enough and 1 <= self.chosen_groups <= self.groups and (self.groups == 1 or width > 1)):
            raise ConfigError(
                "these groups do not hold the experts that are to be chosen",
                received=f"{self.experts} experts, {self.groups} groups, {self.chosen} of {self.chosen_groups} groups",
                expected="equal groups of two experts or more, and enough of them to choose from",
            )


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Where the tokens of one layer go."""

    logits: Float[Tensor, "N E"]
    chosen: Int[Tensor, "N _"]
    """The experts of each token, best first."""
    weights: Float[Tensor, "N _"]
    """What their outputs are multiplied by."""
    scores: Scores
    """How ``logits`` are to be read."""

    @property
    def probabilities(self) -> Float[Tensor, "N E"]:
        """Of every expert; sigmoid scores are divided by their sum (DeepSeek-AI 2024, eq. 19)."""
        logits = _wide(self.logits)
        if self.scores == "softmax":
            return logits.softmax(-1)
        scores = logits.sigmoid()
        return scores / scores.sum(-1, keepdim=True)


class WideLinear(Linear):
    """A linear layer whose product is taken in float32 at least, whatever its weights are kept in."""

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
        with torch.autocast(x.device.type, enabled=False):
            return linear(_wide(x), _wide(self.weight), None if self.bias is None else _wide(self.bias))


class Router(nn.Module):
    """Scores the experts for each token, and chooses."""

    correction: Tensor | None

    def __init__(self, width: int, choice: Choice, *, bias: bool = False) -> None:
        super().__init__()
        self.choice = choice
        self.logits = (WideLinear if choice.scores == "sigmoid" else Linear)(width, choice.experts, bias=bias)
        self.register_buffer("correction", torch.zeros(choice.experts) if choice.correction else None)
        # Since the last `rebalance`. No buffer: where a run is saved there is none.
        self._load: Tensor | None = None

    def forward(self, x: Float[Tensor, "N D"]) -> Routing:
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                logits = self.logits(x.float())
        else:
            logits = self.logits(x)
        chosen, weights = self._chosen(_wide(logits))
        return Routing(logits=logits, chosen=chosen, weights=weights.to(x.dtype), scores=self.choice.scores)

    def count(self, routing: Routing, real: Bool[Tensor, "N"] | None) -> None:
        """Remembers for `rebalance` what was chosen for the real tokens, where the correction is learnt and nothing of
        the router is frozen."""
        if self.choice.correction_rate and all(parameter.requires_grad for parameter in self.parameters()):
            chosen = _choices(routing, real)
            self._load = chosen if self._load is None else self._load + chosen

    def take_load(self) -> Int[Tensor, "E"] | None:
        """How often each expert was chosen since this was last asked; None where nothing was counted."""
        load, self._load = self._load, None
        return load

    @torch.no_grad()
    def rebalance(self, load: Int[Tensor, "E"]) -> None:
        """After an update of the weights: the correction of an expert that was chosen less often than the mean grows by
        ``correction_rate``, that of one chosen more often shrinks (Wang et al. 2024, "Auxiliary-Loss-Free Load
        Balancing Strategy for Mixture-of-Experts", algorithm 1)."""
        assert self.correction is not None
        violation = load.sum() - self.choice.experts * load  # of whole numbers: the mean of few may be no exact float
        self.correction += self.choice.correction_rate * violation.sign()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What is added up in small steps would stand still in half precision, which cannot hold the steps.
        kept = self.correction
        super()._apply(fn, recurse)
        if kept is not None and self.correction is not None and self.correction.dtype in _HALF:
            self.correction = kept.to(self.correction.device)
        return self

    def _chosen(self, logits: Float[Tensor, "N E"]) -> tuple[Int[Tensor, "N _"], Float[Tensor, "N _"]]:
        choice = self.choice
        if choice.scores == "softmax" and choice.renormalise:  # what the others had of the sum cancels out
            values, chosen = logits.topk(choice.chosen)
            weights = values.softmax(-1)
        elif choice.scores == "softmax":
            weights, chosen = logits.softmax(-1).topk(choice.chosen)
        else:
            scores = logits.sigmoid()
            chosen = self._ranks(scores.detach()).topk(choice.chosen).indices
            weights = scores.gather(-1, chosen)
            if choice.renormalise:
                weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)  # all of them may be 0
        return chosen, weights if choice.scaling == 1.0 else weights * choice.scaling

    def _ranks(self, scores: Float[Tensor, "N E"]) -> Float[Tensor, "N E"]:
        """What the choice goes by: corrected scores, minus infinity in the groups that are not chosen."""
        choice = self.choice
        ranks = scores if self.correction is None else scores + self.correction
        if choice.chosen_groups == choice.groups:
            return ranks
        grouped = ranks.unflatten(-1, (choice.groups, -1))
        best = grouped.topk(2).values.sum(-1).topk(choice.chosen_groups).indices
        out = torch.ones(grouped.shape[:2], dtype=torch.bool, device=scores.device).scatter_(-1, best, False)
        return grouped.masked_fill(out[..., None], -math.inf).flatten(-2)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in _HALF else values


def count_load(blocks: nn.Module, routings: "Routings") -> None:
    """Tells every router of ``blocks`` what was chosen in one pass, in training.

    Not from within the blocks: one that is computed again for its gradient would count twice.
    """
    routers = [module for module in blocks.modules() if isinstance(module, Router)]
    for router, routing in zip(routers, routings.layers, strict=True):
        router.count(routing, routings.real)


class Routings:
    """The routing of every layer in one forward pass, for its losses and for people to look at.

    ``real`` says which of the flattened tokens are no padding, None where all are: padding goes to no expert.
    ``layers`` is in the order of the layers that have experts; each adds its own. No dataclass: where parameters are
    sharded a block would be handed a copy, and what it adds be lost.
    """

    def __init__(self, real: Bool[Tensor, "N"] | None, layers: Sequence[Routing] = ()) -> None:
        self.real, self.layers = real, list(layers)

    @classmethod
    def of(
        cls,
        x: Shaped[Tensor, "B T *_"],
        *,
        lengths: Int[Tensor, "B"] | None = None,
        segments: Int[Tensor, "B T"] | None = None,
    ) -> Self:
        """None yet, of rows ``x`` (embedded, or tokens); ``lengths`` and ``segments`` are those of the forward pass."""
        if lengths is None and segments is None:
            return cls(None)
        return cls(real_tokens(x, lengths=lengths, segments=segments).flatten())

    @property
    def tokens(self) -> Int[Tensor, ""] | int:
        """How many tokens are real."""
        return self.layers[0].logits.shape[0] if self.real is None else self.real.sum()

    def losses(self, *, balance_weight: float, z_weight: float) -> dict[str, Float[Tensor, ""]]:
        """Those of ``Output.auxiliary``: weighted sums over real tokens; what has no weight is not computed."""
        losses = {}
        if self.layers and balance_weight:
            losses["load_balance"] = balance_weight * load_balance(self)
        if self.layers and z_weight:
            losses["router_z"] = z_weight * z_loss(self)
        return losses


def load_balance(routings: Routings) -> Float[Tensor, ""]:
    """N E sum_e f_e P_e: 1 a token and chosen expert where all experts are used alike, and up to E where one is.

    f_e is the share of tokens that chose expert e and P_e its mean probability (Fedus et al. 2021, eq. 4-6), over the
    tokens of all layers together, as Mixtral is trained in ``transformers``; the gradient goes through P. With several
    chosen experts the f_e add up to their number.
    """
    real = routings.real
    counts = torch.stack([_choices(routing, real) for routing in routings.layers]).sum(0)
    probabilities = torch.stack(
        [(p if real is None else p[real]).sum(0) for p in (routing.probabilities for routing in routings.layers)]
    ).sum(0)
    rows = routings.tokens * len(routings.layers)
    share, mean = counts.to(probabilities.dtype) / rows, probabilities / rows
    return routings.tokens * counts.shape[0] * (share * mean).sum()


def z_loss(routings: Routings) -> Float[Tensor, ""]:
    """sum_n (log sum_e exp z_ne)^2 over tokens and layers: keeps logits small (Zoph et al. 2022, eq. 5)."""
    squares = [_wide(routing.logits).logsumexp(-1).square() for routing in routings.layers]
    return torch.stack([(s if routings.real is None else s[routings.real]).sum() for s in squares]).sum()


def shares(routings: Routings) -> list[Float[Tensor, "E"]]:
    """Share of the choices of real tokens that fell on each expert, layer by layer; for people to look at."""
    counts = [_choices(routing, routings.real) for routing in routings.layers]
    return [count / count.sum() for count in counts]


def _choices(routing: Routing, real: Bool[Tensor, "N"] | None) -> Int[Tensor, "E"]:
    """How often each expert was chosen."""
    chosen = routing.chosen if real is None else routing.chosen[real]
    return torch.bincount(chosen.flatten(), minlength=routing.logits.shape[-1])


def within_capacity(
    chosen: Int[Tensor, "N _"], experts: int, factor: float, real: Bool[Tensor, "N"] | None = None
) -> Bool[Tensor, "N _"]:
    """Which choices an expert has room for: ceil(factor * choices / experts) each (Fedus et al. 2021, eq. 3).

    The first choices of all tokens come before any second choice, and earlier tokens before later ones (Lepikhin et
    al. 2020, algorithm 1). Padding takes no room. What is dropped passes by on the residual branch.
    """
    queue = chosen.t().flatten()  # all first choices, then all second ones
    wanted = torch.ones_like(queue, dtype=torch.bool) if real is None else real.repeat(chosen.shape[1])
    capacity = math.ceil(factor * int(wanted.sum()) / experts)
    queue = torch.where(wanted, queue, experts)
    order = queue.argsort(stable=True)
    begins = torch.bincount(queue, minlength=experts + 1).cumsum(0).roll(1).index_fill(0, queue.new_zeros(1), 0)
    place = torch.empty_like(queue)
    place[order] = torch.arange(queue.shape[0], device=queue.device) - begins[queue[order]]
    return ((place < capacity) & wanted).view(chosen.shape[1], -1).t()


def expert_layers(layers: int, *, step: int = 1, dense: Sequence[int] = ()) -> tuple[bool, ...]:
    """Which of ``layers`` have experts: every ``step``-th, but for those named in ``dense``."""
    return tuple((i + 1) % step == 0 and i not in dense for i in range(layers))
