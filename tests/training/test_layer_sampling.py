"""LISA: which blocks train when, and that nothing needs to be saved for it."""

from collections import Counter

import pytest
from torch import nn

from tests.training.toys import tiny_gpt2
from trivium.errors import ConfigError, Unsupported
from trivium.training.layer_sampling import LayerSampling, LayerSamplingConfig


class Blocks(nn.Module):
    """Six blocks between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(3, 2), nn.Linear(2, 3)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(6))


def trained(model: nn.Module) -> list[int]:
    return [index for index, block in enumerate(model.blocks) if all(p.requires_grad for p in block.parameters())]


def test_so_many_blocks_train_for_so_many_steps_and_the_rest_always() -> None:
    model = Blocks()
    sampling = LayerSampling(model, LayerSamplingConfig(blocks=2, every_steps=5), seed=1)
    seen = []
    for step in range(0, 300, 2):
        sampling(step)
        seen.append(tuple(trained(model)))
        assert len(seen[-1]) == 2 and list(seen[-1]) == sampling.chosen(step)
        assert not any(p.requires_grad for i, b in enumerate(model.blocks) if i not in seen[-1] for p in b.parameters())
        assert model.embedding.weight.requires_grad and model.head.bias.requires_grad
    assert all(len(set(seen[start : start + 3])) == 1 for start in range(0, 150, 5))  # steps 0, 2 and 4 of ten
    counts = Counter(block for period in seen[::5] for block in period)
    assert set(counts) == set(range(6)) and min(counts.values()) > 3  # 10 each on average


def test_a_step_is_known_without_the_ones_before() -> None:
    one, other = (LayerSampling(Blocks(), LayerSamplingConfig(blocks=3, every_steps=4), seed=7) for _ in range(2))
    for step in range(50):
        one(step)
    assert one.chosen(49) == other.chosen(49)
    different = LayerSampling(Blocks(), LayerSamplingConfig(blocks=3, every_steps=4), seed=8)
    assert [one.chosen(step) for step in range(40)] != [different.chosen(step) for step in range(40)]


def test_what_was_frozen_before_stays_frozen() -> None:
    model = Blocks()
    model.blocks[0].bias.requires_grad_(False)
    sampling = LayerSampling(model, LayerSamplingConfig(blocks=6), seed=0)
    sampling(0)
    assert not model.blocks[0].bias.requires_grad and model.blocks[0].weight.requires_grad


def test_refused() -> None:
    with pytest.raises(ConfigError, match="at least one block"):
        LayerSamplingConfig(blocks=0)
    with pytest.raises(ConfigError, match="more blocks are to train than the model has"):
        LayerSampling(tiny_gpt2(), LayerSamplingConfig(blocks=3), seed=0)
    model = Blocks()
    model.blocks[2].requires_grad_(False)
    with pytest.raises(Unsupported, match="only blocks that train can take turns"):
        LayerSampling(model, LayerSamplingConfig(), seed=0)
