"""Every method of adapting a model with small parts: its configuration, and how it is put in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trivium.adapters import (
    adapter_fusion,
    bottleneck,
    extended,
    ia3,
    llama_adapter,
    low_rank,
    parallel_adapter,
    prefix,
    prompt_encoder,
    soft_prompt,
    trained_copy,
    trained_tokens,
)
from trivium.adapters.adapter_fusion import AdapterFusionConfig
from trivium.adapters.adapter_set import Placing
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.extended import ExtendedIA3Config, ExtendedLoRAConfig
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.prompt_encoder import PTuningConfig
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig

AdapterConfig = (
    LoRAConfig
    | IA3Config
    | PrefixConfig
    | SoftPromptConfig
    | PTuningConfig
    | BottleneckConfig
    | AdapterFusionConfig
    | ParallelAdapterConfig
    | LlamaAdapterConfig
    | ExtendedLoRAConfig
    | ExtendedIA3Config
    | TrainedCopyConfig
    | TrainedTokensConfig
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """What the rest of the package asks of a method."""

    name: str
    """As people call it."""
    config: type
    """Its settings."""
    prepare: Callable[[Any, Any], Placing]
    """``prepare(model, config)`` builds the parts and refuses what cannot be, before the model is touched."""
    merges: bool
    """Whether plain weights can express it."""


METHODS = (
    Method(name="LoRA", config=LoRAConfig, prepare=low_rank.prepare, merges=True),
    Method(name="(IA)3", config=IA3Config, prepare=ia3.prepare, merges=True),
    Method(name="prefix", config=PrefixConfig, prepare=prefix.prepare, merges=False),
    Method(name="soft prompt", config=SoftPromptConfig, prepare=soft_prompt.prepare, merges=False),
    Method(name="P-tuning prompt", config=PTuningConfig, prepare=prompt_encoder.prepare, merges=False),
    Method(name="bottleneck adapter", config=BottleneckConfig, prepare=bottleneck.prepare, merges=False),
    Method(name="adapter fusion", config=AdapterFusionConfig, prepare=adapter_fusion.prepare, merges=False),
    Method(name="parallel adapter", config=ParallelAdapterConfig, prepare=parallel_adapter.prepare, merges=False),
    Method(name="LLaMA-Adapter", config=LlamaAdapterConfig, prepare=llama_adapter.prepare, merges=False),
    Method(name="extended LoRA", config=ExtendedLoRAConfig, prepare=extended.prepare_lora, merges=True),
    Method(name="extended (IA)3", config=ExtendedIA3Config, prepare=extended.prepare_ia3, merges=True),
    Method(name="trained copy", config=TrainedCopyConfig, prepare=trained_copy.prepare, merges=True),
    Method(name="trained tokens", config=TrainedTokensConfig, prepare=trained_tokens.prepare, merges=True),
)


def method_of(config: AdapterConfig) -> Method:
    """The method that ``config`` belongs to."""
    return next(method for method in METHODS if isinstance(config, method.config))
