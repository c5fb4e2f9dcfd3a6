"""A deep network foretold from shallow ones is what the whole of it comes to."""

import dataclasses

import pytest
import torch
from torch import nn

from trivium.models import architecture
from trivium.models.llama import LlamaConfig
from trivium.planning.blocks import depths
from trivium.planning.memory import Rehearsed
from trivium.recipes.method_config import MethodName
from trivium.recipes.plan import method_settings
from trivium.recipes.plan_blocks import rehearsed
from trivium.recipes.plan_model import PlannedModel
from trivium.recipes.plan_steps import Step, rehearse_finetuning

SMALL = LlamaConfig(vocabulary_size=200, width=32, layers=8, heads=2, inner_width=48, context_tokens=32)


@pytest.mark.parametrize(
    ("method", "vocabulary", "recomputed"),
    [
        ("lora", 200, False),
        pytest.param("full", 8000, True, marks=pytest.mark.slow),
        pytest.param("qlora", 200, True, marks=pytest.mark.slow),
    ],
)
def test_a_deep_network_from_two_shallow_ones(method: MethodName, vocabulary: int, recomputed: bool) -> None:
    step = Step(rows=2, context_tokens=16, activation_checkpointing=recomputed)
    depths_seen: list[int] = []

    def rehearse(network: nn.Module) -> Rehearsed:
        depths_seen.append(len(list(network.get_submodule("blocks").children())))
        return rehearse_finetuning(network, method, method_settings(method, None), step)

    config = dataclasses.replace(SMALL, vocabulary_size=vocabulary)
    model = PlannedModel(name="small", entry=architecture("llama"), config=config)
    foretold, whole = rehearsed(model, torch.float32, rehearse), rehearse(model.network())
    assert depths_seen == [3, 4, 8]
    assert foretold.memory == whole.memory
    assert dataclasses.replace(foretold, moments=whole.moments, heap=whole.heap) == whole
    assert foretold.heap == pytest.approx(whole.heap, rel=0.1)


def test_what_is_alike() -> None:
    plain, wide = nn.Linear(3, 3), nn.Linear(3, 4)

    def found(*blocks: nn.Module) -> tuple[int, int] | None:
        alike = depths(blocks)
        return None if alike is None else (alike.few, alike.more)

    assert found(*[plain] * 9) == (3, 4)
    assert found(wide, wide, *[plain] * 9) == (4, 5)
    assert found(*[plain, wide] * 8) == (6, 8)
    assert found(*[plain, wide] * 7, plain) == (5, 7)
    assert found(*[plain] * 6) is None and found(*[plain] * 9, wide) is None and found() is None
