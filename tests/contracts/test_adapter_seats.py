"""Adapters in seats and beside sub-layers, on every architecture there is: its blocks call what stands there."""

import pytest
import torch

from tests.contracts.adapter_cases import answers, randomise
from tests.contracts.tracers import Tracer, every_model
from trivium.adapters.attach import attach
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.errors import Unsupported

ADAPTERS: dict[str, AdapterConfig] = {
    "seats": BottleneckConfig(width=4),
    "feedforward": ParallelAdapterConfig(width=4),
    "attention": ParallelAdapterConfig(width=4, beside="attention"),
}


@every_model
@torch.no_grad()
def test_each_kind_is_called(tracer: Tracer) -> None:
    """New ones change nothing; then each row of a batch has its own, and is what it would be alone."""
    model = tracer.build()
    if tracer.row.kind not in ("encoder", "decoder", "encoder-decoder"):
        for config in ADAPTERS.values():
            with pytest.raises(Unsupported, match="have no seats"):
                attach(model, "mine", config)
        return
    for name, config in ADAPTERS.items():
        attach(model, name, config)
    bare, names = answers(tracer, model, [None] * 3), list(ADAPTERS)
    for before, after in zip(bare, answers(tracer, model, names), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-10)
    for name in names:
        randomise(model, name)
    for row, (after, before) in enumerate(zip(answers(tracer, model, names), bare, strict=True)):
        assert (after - before).abs().max() > 1e-3, names[row]
        (alone,) = answers(tracer, model, [names[row]], [row])
        torch.testing.assert_close(after, alone, rtol=0, atol=1e-10)
