"""What a rehearsal foretells, beside what PyTorch's allocator really gives out in the same computation."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.contracts.test_training import task
from tests.contracts.tracers import TRACERS, Tracer
from trivium.data.batches import CausalBatch
from trivium.models.llama import Llama, LlamaConfig
from trivium.nn.attention.transformer_xl import _sinusoids
from trivium.nn.quantized import NF4Linear
from trivium.objectives.causal import causal
from trivium.objectives.loss import Loss
from trivium.planning import memory
from trivium.planning.measured import peak_tensor_bytes
from trivium.planning.memory import Rehearsed
from trivium.planning.weightless import Weightless
from trivium.training.activation_checkpointing import checkpoint_blocks
from trivium.training.optimisers import OptimiserConfig, build_optimisers

SMALL = LlamaConfig(vocabulary_size=300, width=64, layers=2, heads=4, inner_width=96, context_tokens=64)


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


def batch(rows: int = 4, length: int = 32) -> CausalBatch:
    tokens, mask = torch.zeros(rows, length, dtype=torch.long), torch.ones(rows, length, dtype=torch.bool)
    return CausalBatch(tokens=tokens, targets=tokens, mask=mask, lengths=torch.full((rows,), length))


def loss(network: nn.Module) -> torch.Tensor:
    return causal(network, batch()).total


def update(network: nn.Module, kind: Any = "adamw") -> Callable[[], object]:
    return build_optimisers(network, OptimiserConfig(kind=kind)).step


@functools.cache
def foretold(kind: Any = "adamw", recomputed: bool = False) -> Rehearsed:
    prepare = checkpoint_blocks if recomputed else None
    return memory.of(on_meta(lambda: Llama(SMALL)), loss, prepare=prepare, update=lambda n: update(n, kind))


def trained(network: nn.Module, compute: Callable[[nn.Module], torch.Tensor], kind: Any = "adamw") -> None:
    network.train()
    optimisers = build_optimisers(network, OptimiserConfig(kind=kind))
    for _ in range(2):
        compute(network).backward()
        optimisers.step()
        optimisers.zero_gradients()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "recomputed"), [("adamw", False), ("muon", False), ("sgd", False), ("adamw", True)])
def test_an_update_takes_what_was_foretold(kind, recomputed):

    def really() -> None:
        real = Llama(SMALL)
        if recomputed:
            checkpoint_blocks(real)
        trained(real, loss, kind)

    assert foretold(kind, recomputed).memory.tensors == pytest.approx(peak_tensor_bytes(really), rel=0.05)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "tracer",
    [tracer for tracer in TRACERS if tracer.label in ("falcon", "mixtral", "bert", "t5 1.1", "gopher")],
    ids=lambda tracer: tracer.label,
)
def test_the_account_holds_for_a_family(tracer: Tracer):
    """Models so small that what kernels have for themselves counts: a tenth is allowed."""
    objective, make = task(tracer)

    def compute(network: nn.Module) -> torch.Tensor:
        found: Loss = objective(network, make(0))
        return sum(found.auxiliary.values(), start=found.total)

    def build() -> nn.Module:
        return tracer.row.model_class()(tracer.config())

    planned = memory.of(on_meta(build), compute, update=update).memory
    assert planned.tensors == pytest.approx(peak_tensor_bytes(lambda: trained(build(), compute)), rel=0.1)


def test_what_an_lstm_keeps_for_its_backward_pass_is_counted():
    """A workspace of the kernel's, of which no shape tells."""
    layer, text = nn.LSTM(16, 24), torch.zeros(256, 4, 16)
    kept = sum(sizes_kept(layer(text)[0]))
    with Weightless():
        weightless = nn.LSTM(16, 24)
        assert sum(sizes_kept(weightless(torch.zeros(256, 4, 16))[0])) == kept


def sizes_kept(output: torch.Tensor) -> list[int]:
    """Bytes of the workspaces that the layers of an LSTM hold."""
    found, left = [], [output.grad_fn]
    while left:
        node = left.pop()
        if node is None:
            continue
        left += [before for before, _ in node.next_functions]
        if "MkldnnRnnLayer" in node.name():
            found.append(node._saved_result3.nbytes)
    assert found
    return found


def test_the_parts_are_those_that_are_there():
    found = foretold()
    parameters = sum(parameter.numel() for parameter in Llama(SMALL).parameters())
    assert found.parameters == found.trained_parameters == parameters
    assert found.memory.weights == 4 * parameters
    assert 8 * parameters <= found.memory.optimiser < 8 * parameters + 1000  # and a count of steps each
    twice = memory.of(on_meta(lambda: Llama(SMALL)), loss, update=update, micro_batches=2).memory
    assert twice.gradients == 4 * parameters  # those of the first part, when the second is at its peak
    assert twice.activations == found.memory.activations


def test_moments_of_sgd_and_muon():
    sizes = {kind: foretold(kind).memory.optimiser for kind in ("adamw", "muon", "sgd")}
    real = Llama(SMALL)
    matrices = sum(p.numel() for p in real.blocks.parameters() if p.ndim == 2)
    assert sizes["sgd"] == 0
    assert sizes["adamw"] - sizes["muon"] == pytest.approx(4 * matrices, rel=0.01)


def test_nothing_without_data_is_left_behind():
    """A cache of a function that the rehearsal filled would poison what is computed after it."""
    with Weightless():
        _sinusoids(8, 2048, torch.float32, torch.device("cpu"))
    assert type(_sinusoids(8, 2048, torch.float32, torch.device("cpu"))) is torch.Tensor


def test_ids_are_real_and_floating_numbers_are_not():
    with Weightless() as rehearsal:
        weights = torch.zeros(100, 50)
        ids = torch.arange(2000) % 100
        chosen = weights[ids]
        assert chosen.shape == (2000, 50) and chosen.device.type == "cpu"
        assert ids.max().item() == 99  # a value, which what is computed may depend on
        assert rehearsal.ledger.bytes_of(rehearsal.ledger.alive) >= 4 * (5000 + 100_000)
        kept = chosen[ids % 2 == 0]
        assert kept.shape == (1000, 50)
        # Which experts a router takes nobody knows here: they are spread evenly.
        taken = torch.rand(2048, 4).topk(2).indices
        assert torch.bincount(taken.flatten(), minlength=4).tolist() == [1024] * 4


def test_packed_matrices_are_counted_to_the_byte():
    layer = nn.Linear(256, 512, bias=False)
    packed = NF4Linear(layer.weight)
    size = sum(buffer.nbytes for buffer in packed.buffers())
    assert size == 512 * 256 // 2 + 2048 + 4 * 8 + 4  # codes, magnitudes of 64, magnitudes of 256 of those, their mean
