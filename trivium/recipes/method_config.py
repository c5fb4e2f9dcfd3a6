"""Every method of fine-tuning by its name: which settings it reads, and the learning rate that is usual of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from trivium.adapters.methods import AdapterConfig
from trivium.adapters.selective import Part, SelectiveConfig
from trivium.errors import ConfigError
from trivium.training.layer_sampling import LayerSamplingConfig

MethodName = Literal[
    "full",
    "lisa",
    "last-k",
    "layers",
    "bitfit",
    "norms",
    "embeddings",
    "lora",
    "qlora",
    "rslora",
    "dora",
    "pissa",
    "lora+",
    "ia3",
    "houlsby",
    "pfeiffer",
    "parallel",
    "prefix",
    "soft-prompt",
    "p-tuning",
    "llama-adapter",
]
_FULL_RATE, _FULL_WIDTH = 1e-3, 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """One method."""

    settings: str
    """The part of the recipe's settings that is the method's own."""
    rate: float
    """Its learning rate, in those of full fine-tuning."""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the name of the method says of those settings."""
    part: Part | None = None
    """Which of the model's own parameters it trains; None for an adapter."""
    quantize: str | None = None
    """How the base is packed while it is read."""


# The rates. LoRA's is about ten times that of full fine-tuning, at any rank (Schulman et al. 2025, "LoRA without
# regret"); LoRA+ has 16 times as much for B as for A (Hayou et al. 2024), about LoRA's in their middle; biases' go up
# to 1e-3 where the model's go to 5e-5 (Ben Zaken et al. 2022); bottlenecks' are sought from 3e-5 to 3e-3 (Houlsby et
# al. 2019); a soft prompt's is hundreds of times as high, though with Adafactor (Lester et al. 2021: 0.3, and 0.001 for
# the model); LLaMA-Adapter's is 9e-3 for Alpaca's 2e-5 (Zhang et al. 2023, section 4.1). Of each 0.3, 1 and 3 times as
# much was tried on a model of width 64 over 60 steps, which chose where papers leave it open.
WAYS: Mapping[MethodName, Way] = {
    "full": Way(settings="selective", part="all", rate=1),
    "lisa": Way(settings="layer_sampling", part="all", rate=1),
    "last-k": Way(settings="selective", part="last_blocks", rate=1),
    "layers": Way(settings="selective", part="layers", rate=1),
    "bitfit": Way(settings="selective", part="biases", rate=30),
    "norms": Way(settings="selective", part="norms", rate=30),
    "embeddings": Way(settings="selective", part="embeddings", rate=1),
    "lora": Way(settings="lora", rate=10),
    "qlora": Way(settings="lora", rate=10, quantize="nf4"),
    "rslora": Way(settings="lora", rate=10, fixed={"rank_stabilised": True}),
    "dora": Way(settings="lora", rate=10, fixed={"decomposed": True}),
    "pissa": Way(settings="lora", rate=3, fixed={"start": "pissa"}),
    "lora+": Way(settings="lora", rate=2.5),
    "ia3": Way(settings="ia3", rate=30),
    "houlsby": Way(settings="bottleneck", rate=10, fixed={"kind": "houlsby"}),
    "pfeiffer": Way(settings="bottleneck", rate=10, fixed={"kind": "pfeiffer"}),
    "parallel": Way(settings="parallel", rate=10),
    "prefix": Way(settings="prefix", rate=30),
    "soft-prompt": Way(settings="soft_prompt", rate=30),
    "p-tuning": Way(settings="p_tuning", rate=3),
    "llama-adapter": Way(settings="llama_adapter", rate=100),
}


Settings = AdapterConfig | SelectiveConfig | LayerSamplingConfig
"""What a method reads."""


def settings_of(method: MethodName, given: Mapping[str, Settings], usual: Mapping[str, Settings]) -> Settings:
    """The settings that `method` is carried out with. `given` and `usual` are all of the recipe's, by their names.

    Raises `ConfigError` for settings that the method would not read, or that its name contradicts.
    """
    way = WAYS[method]
    for name, settings in given.items():
        if name != way.settings and settings != usual[name]:
            raise ConfigError(
                f"the method {method} reads no settings of {name}",
                received=", ".join(_changed(settings, usual[name])),
                fix=f"leave them out, or choose a method that reads them: {', '.join(_readers(name))}",
            )
    own = given[way.settings]
    for name, value in way.fixed.items():
        if getattr(own, name) not in (value, getattr(usual[way.settings], name)):
            raise ConfigError(
                f"the method {method} has {name} {value}", received=f"{way.settings}.{name} {getattr(own, name)}"
            )
    if isinstance(own, SelectiveConfig):
        _check_selective(method, own)
        return own
    return dataclasses.replace(own, **way.fixed)


def usual_rate(method: MethodName, network: nn.Module) -> float:
    """The peak learning rate that is usual of the method on a network of this width.

    Of full fine-tuning 1e-3 up to a width of 128, as is right for what is trained in minutes, then in inverse
    proportion to the width (Yang et al. 2022, table 8): 3e-5 at the 4,096 of a model of seven thousand million.
    """
    config: Any = network.config
    return WAYS[method].rate * _FULL_RATE * min(1.0, _FULL_WIDTH / config.width)


def _check_selective(method: MethodName, config: SelectiveConfig) -> None:
    usual = SelectiveConfig()
    if bool(config.patterns) != (method == "layers"):
        raise ConfigError(
            "the method layers, and no other, trains what patterns name",
            received=f"method {method}, patterns {' '.join(config.patterns) or 'none'}",
            fix="choose the method layers and give patterns such as attention or blocks.3",
        )
    if config.blocks != usual.blocks and method != "last-k":
        raise ConfigError("only the method last-k counts blocks", received=f"method {method}, blocks {config.blocks}")


def _changed(settings: Settings, usual: Settings) -> list[str]:
    names = [field.name for field in dataclasses.fields(settings)]
    return [f"{name} {getattr(settings, name)}" for name in names if getattr(settings, name) != getattr(usual, name)]


def _readers(settings: str) -> list[str]:
    return [name for name, way in WAYS.items() if way.settings == settings]
