"""Bottlenecks, their fusion, and parallel adapters, which PEFT lacks."""

from trivium.adapters.adapter_fusion import AdapterFusionConfig
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.peft.own import own_form

TRIVIUM_BOTTLENECK = own_form("TRIVIUM_BOTTLENECK", BottleneckConfig)
TRIVIUM_ADAPTER_FUSION = own_form("TRIVIUM_ADAPTER_FUSION", AdapterFusionConfig)
TRIVIUM_PARALLEL_ADAPTER = own_form("TRIVIUM_PARALLEL_ADAPTER", ParallelAdapterConfig)
