"""Many adapters of many kinds over one base, as a server holds them: side by side, replaced one by one, without end."""

import gc
import pathlib

import pytest
import torch
from torch import Tensor, nn

from tests.contracts.adapter_cases import randomise
from trivium.adapters.adapter_set import adapters_of
from trivium.adapters.answering import Answering
from trivium.adapters.attach import adapter_parameters, attach, detach, remove
from trivium.adapters.bottleneck import BottleneckConfig
from trivium.adapters.counting import numbers_in
from trivium.adapters.extended import ExtendedLoRAConfig
from trivium.adapters.holder import holders
from trivium.adapters.ia3 import IA3Config
from trivium.adapters.llama_adapter import LlamaAdapterConfig
from trivium.adapters.lora import LoRAConfig
from trivium.adapters.methods import AdapterConfig
from trivium.adapters.parallel_adapter import ParallelAdapterConfig
from trivium.adapters.prefix import PrefixConfig
from trivium.adapters.routing import activate, route
from trivium.adapters.soft_prompt import SoftPromptConfig
from trivium.adapters.trained_copy import TrainedCopyConfig
from trivium.adapters.trained_tokens import TrainedTokensConfig
from trivium.checkpoints.adapter_folder import load_adapter, save_adapter
from trivium.models.llama import Llama, LlamaConfig

KINDS: tuple[AdapterConfig, ...] = (
    LoRAConfig(rank=2),
    LoRAConfig(rank=3, targets="all-linear"),
    LoRAConfig(rank=2, decomposed=True, targets=("q_proj", "down_proj")),
    IA3Config(),
    TrainedCopyConfig(modules=("lm_head", "embed_tokens")),
    TrainedTokensConfig(tokens=(5, 2, 11), head=True),
    ExtendedLoRAConfig(update=LoRAConfig(rank=2), copies=TrainedCopyConfig(), tokens=TrainedTokensConfig(tokens=(3,))),
    BottleneckConfig(width=3),
    ParallelAdapterConfig(width=3),
    LlamaAdapterConfig(tokens=2),
    PrefixConfig(tokens=2),
    SoftPromptConfig(tokens=3),
    LoRAConfig(rank=1, targets=("o_proj",)),
    TrainedCopyConfig(modules=("model.norm",)),
    IA3Config(targets=("down_proj",), feedforward=("down_proj",)),
    TrainedTokensConfig(tokens=(7,)),
)
NAMES = [f"user{i}" for i in range(len(KINDS))]
TEXTS = torch.randint(19, (len(KINDS) + 1, 5), generator=torch.Generator().manual_seed(1))


def base() -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(vocabulary_size=19, width=16, layers=2, heads=4, inner_width=24, context_tokens=16)
    model = Llama(config).double().eval()
    for parameter in model.parameters():  # else a block says little
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
    """One folder for each kind, made on a base of its own; no two have the same weights."""
    found = []
    for number, config in enumerate(KINDS):
        model = base()
        attach(model, "a" * (number + 1), config)  # the length of the name is the seed
        randomise(model, "a" * (number + 1))
        found.append(tmp_path_factory.mktemp("adapter") / "folder")
        save_adapter(found[-1], model, "a" * (number + 1))
    return found


def full(folders: list[pathlib.Path]) -> Llama:
    model = base()
    for name, folder in zip(NAMES, folders, strict=True):
        load_adapter(folder, model, name)
    return model


@torch.no_grad()
def logits(model: nn.Module, names: list[str | None], rows: list[int]) -> Tensor:
    """``[B, T, V]`` of the given texts, each under its adapter."""
    activate(model, None)
    with route(model, names):
        state = Answering(model).begin(names, 12)
        return model.head.logits(model(TEXTS[rows], state=state).hidden)


def test_sixteen_in_one_batch_are_each_alone(folders: list[pathlib.Path]) -> None:
    model, names = full(folders), [*NAMES, None]
    together = logits(model, names, list(range(17)))
    bare = base()
    for row, (name, said) in enumerate(zip(names, together, strict=True)):
        torch.testing.assert_close(said, logits(model, [name], [row])[0], rtol=0, atol=1e-10)
        if name is None:
            expected = bare.head.logits(bare(TEXTS[[row]]).hidden)
        else:
            only = base()
            load_adapter(folders[row], only, "only")
            expected = logits(only, ["only"], [row])
            assert (expected - bare.head.logits(bare(TEXTS[[row]]).hidden)).abs().max() > 1e-3
        torch.testing.assert_close(said, expected[0], rtol=0, atol=1e-10)


def test_one_is_replaced_while_the_others_stay(folders: list[pathlib.Path]) -> None:
    model, rows = full(folders), list(range(16))
    before = logits(model, [*NAMES], rows)
    for place, other in ((4, 5), (0, 7), (10, 1)):
        kept = {name: set(adapter_parameters(model, name).values()) for name in NAMES}
        remove(model, NAMES[place])
        load_adapter(folders[other], model, NAMES[place])
        after = logits(model, [*NAMES], rows)
        assert (after[place] - before[place]).abs().max() > 1e-3
        expected = logits(model, [NAMES[other]], [place])[0]
        torch.testing.assert_close(after[place], expected, rtol=0, atol=1e-10)
        for row in set(rows) - {place}:
            torch.testing.assert_close(after[row], before[row], rtol=0, atol=1e-10)
            assert set(adapter_parameters(model, NAMES[row]).values()) == kept[NAMES[row]]
        remove(model, NAMES[place])
        load_adapter(folders[place], model, NAMES[place])
    torch.testing.assert_close(logits(model, [*NAMES], rows), before, rtol=0, atol=1e-10)


def test_a_hundred_swaps_leave_nothing_behind(folders: list[pathlib.Path]) -> None:
    model, rows = full(folders), list(range(16))
    untouched = {name: tensor.clone() for name, tensor in base().state_dict().items()}
    before = logits(model, [*NAMES], rows)

    def size() -> tuple[int, int, int, int, int]:
        gc.collect()
        tensors = sum(isinstance(thing, nn.Parameter) for thing in gc.get_objects())
        modules = sum(1 for _ in model.modules())
        return numbers_in(model), modules, len(list(holders(model))), len(model.state_dict()), tensors

    expected = size()
    for swap in range(100):
        place = swap % len(NAMES)
        remove(model, NAMES[place])
        load_adapter(folders[place], model, NAMES[place])
    *counts, tensors = size()
    assert tuple(counts) == expected[:-1]
    assert tensors <= expected[-1]  # other tests' may have gone in the meantime
    torch.testing.assert_close(logits(model, [*NAMES], rows), before, rtol=0, atol=1e-10)
    for name in NAMES:
        remove(model, name)
    assert not list(holders(model))
    assert not len(adapters_of(model).prompts)
    detach(model)
    assert list(model.state_dict()) == list(untouched)
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in model.state_dict().items())
