"""(IA)3: keys, values and inner activations are multiplied by learnt vectors (Liu et al. 2022, section 3.3)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import Factors, LinearUpdate, adapted_linear
from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.holder import base_modules
from trivium.adapters.sites import Choice, Site, chosen
from trivium.errors import ConfigError, Unsupported
from trivium.nn.quantized import NF4Linear


@dataclass(frozen=True, kw_only=True)
class IA3Config:
    """Which layers get a vector, and whether it is for what goes in or what comes out."""

    targets: tuple[str, ...] | str = ("k_proj", "v_proj", "down_proj")
    """Published names of the layers: endings such as ``k_proj``, one regular expression for the whole name, or
    ``all-linear``."""
    feedforward: tuple[str, ...] | str = ("down_proj",)
    """Those of the targets whose inputs are multiplied: the last layer of a feed-forward network, which reads the inner
    activations. Of the others the outputs are."""
    exclude: tuple[str, ...] | str = ()
    """Endings, or one regular expression: what is left out of the targets."""


class RescalingUpdate(LinearUpdate):
    """A vector of ones at first, which the inputs or the outputs are multiplied by."""

    def __init__(self, site: Site, like: Tensor, *, inputs: bool) -> None:
        super().__init__(site)
        self.changes_inputs = inputs
        self.vector = nn.Parameter(like.new_ones(site.width if inputs else site.rows))

    def inputs(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return x * self.vector if self.changes_inputs else x

    def factors(self) -> Factors | None:
        return None

    def outputs(
        self, x: Float[Tensor, "... D"], y: Float[Tensor, "... F"], base: nn.Linear | NF4Linear
    ) -> Float[Tensor, "... F"]:
        return y if self.changes_inputs else y * self.vector

    def merged(self, weight: Float[Tensor, "F D"], bias: Float[Tensor, "F"] | None) -> tuple[Tensor, Tensor | None]:
        vector = self.vector.to(weight.dtype)
        if self.changes_inputs:
            return weight * vector, bias
        return weight * vector[:, None], None if bias is None else bias * vector


def prepare(model: nn.Module, config: IA3Config) -> Placing:
    """A vector for every layer that the targets name.

    Raises ``ConfigError`` as ``sites.chosen`` and for ``feedforward`` that is no target, ``Unsupported`` where the
    inputs of a layer are also those of another one, or the target is no linear layer.
    """
    places = chosen(model, Choice(targets=config.targets, exclude=config.exclude))
    fed = set(chosen(model, Choice(targets=config.feedforward))) if config.feedforward else set()
    if config.feedforward and not fed & set(places):
        raise ConfigError(
            "feedforward names none of the targets",
            received=f"feedforward {config.feedforward}, targets {config.targets}",
            fix="name these layers in both",
        )
    like, modules = first_weight(model), base_modules(model)
    updates = [(site, _update(site, like, modules[site.ours], inputs=site in fed)) for site in places]

    def place(name: str, adapters: AdapterSet) -> None:
        for site, update in updates:
            adapted_linear(model, site.ours, adapters).add(name, update)

    return place


def _update(site: Site, like: Tensor, base: nn.Module, *, inputs: bool) -> RescalingUpdate:
    if not isinstance(base, nn.Linear | NF4Linear):
        raise Unsupported("(IA)3 on what is no linear layer", received=site.theirs, fix="leave it out of the targets")
    if inputs and site.rows != base.out_features:
        raise Unsupported(
            "other inputs for a layer that is computed together with others",
            received=f"{site.theirs}, a part of {site.ours}",
            fix="take it out of feedforward: its outputs are multiplied then",
        )
    return RescalingUpdate(site, like, inputs=inputs)
