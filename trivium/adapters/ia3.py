"""(IA)3: keys, values and inner activations are multiplied by learnt vectors (Liu et al. 2022, section 3.3)."""

import dataclasses
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from trivium.adapters.adapted_linear import Factors, LinearUpdate, adapted_linear
from trivium.adapters.adapter_set import AdapterSet, Placing, first_weight
from trivium.adapters.holder import base_modules
from trivium.adapters.sites import Choice, Site, chosen, endings, sites
from trivium.errors import ConfigError, Unsupported
from trivium.nn.quantized import NF4Linear

_KEYS_AND_VALUES = (
    ("k_proj", "v_proj"),
    ("key", "value"),
    ("k", "v"),
    ("kv_b_proj",),
    ("qkv_proj",),
    ("query_key_value",),
    ("c_attn",),
    ("Wqkv",),
    ("attention.qkv",),
)
"""What checkpoints call the layers that make keys and values; where one makes the queries too, they have it as well."""
_INNER = (
    "down_proj",
    "fc2",
    "fc_out",
    "mlp.c_proj",
    "dense_4h_to_h",
    "wo",
    "mlp.Wo",
    "ff.layer_2",
    "feedforward.down",
    "output.dense",
)
"""What they call the last layer of a feed-forward network. Experts have none that (IA)3 could go on."""


@dataclass(frozen=True, kw_only=True)
class IA3Config:
    """Which layers get a vector, and whether it is for what goes in or what comes out."""

    targets: tuple[str, ...] | str = ()
    """Published names of the layers: endings such as ``k_proj``, one regular expression for the whole name, or
    ``all-linear``. None given: the layers of keys, values and inner activations, whatever the model calls them."""
    feedforward: tuple[str, ...] | str = ()
    """Those of the targets whose inputs are multiplied: the last layer of a feed-forward network, which reads the inner
    activations. Of the others the outputs are."""
    exclude: tuple[str, ...] | str = ()
    """Endings, or one regular expression: what is left out of the targets."""

    def __post_init__(self) -> None:
        if self.feedforward and not self.targets:
            raise ConfigError(
                "feedforward says of the targets which have their inputs multiplied, and there are none",
                received=f"feedforward {self.feedforward}",
                fix="name these layers in targets too, or leave both out",
            )

    @property
    def choice(self) -> Choice:
        """Where it goes, once the targets are named."""
        return Choice(targets=self.targets, exclude=self.exclude)


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
    config = with_targets(model, config)
    places = chosen(model, config.choice)
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


def with_targets(model: nn.Module, config: IA3Config) -> IA3Config:
    """``config`` with the names of the layers that are usual of this model, where it names none: keys, values and inner
    activations, as in the paper, also where PEFT's own defaults have the queries in place of the keys.

    ``ConfigError`` for a model without layers for keys and values.
    """
    if config.targets:
        return config
    linear = [site for site in sites(model) if site.kind == "linear"]

    def there(ending: str) -> bool:
        return any(f".{site.theirs}".endswith(f".{ending}") for site in linear)

    attended = next((names for names in _KEYS_AND_VALUES if all(there(name) for name in names)), None)
    if attended is None:
        raise ConfigError(
            "(IA)3 goes on keys and values, and this model has no layers that make them",
            received=type(model).__name__,
            expected=f"targets, some of {', '.join(endings(linear))}" if linear else "a model with linear layers",
            fix="name the targets, or choose another method",
        )
    inner = next(((name,) for name in _INNER if there(name)), ())
    return dataclasses.replace(config, targets=(*attended, *inner), feedforward=inner)


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
