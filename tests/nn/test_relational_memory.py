"""The relational memory core against its equations in loops over slots, heads and numbers, and what it carries."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trivium.nn.gates import gates
from trivium.nn.recurrent import runs_of
from trivium.nn.relational_memory import RelationalMemoryLayer
from trivium.nn.state import RecurrentState

W, D, H = 5, 6, 2
SHAPES = [(1, "unit"), (3, "unit"), (3, "slot")]
every_shape = pytest.mark.parametrize(("slots", "gating"), SHAPES)


def layer_of(slots: int = 3, gating: str = "unit") -> RelationalMemoryLayer:
    torch.manual_seed(1)
    layer = RelationalMemoryLayer(W, D, slots=slots, heads=H, gating=gating).double()
    for parameter in layer.parameters():  # nothing may be hidden by a bias of 0 or a gain of 1
        parameter.data += 0.3 * torch.randn_like(parameter)
    return layer


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def norm(x: np.ndarray, name: str, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Layer normalisation (Ba et al. 2016) of one vector."""
    return (x - x.mean()) / math.sqrt(x.var() + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(memory: np.ndarray, x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """One step of one text, ``[S, D]`` to ``[S, D]``, a slot and a head at a time; queries of the input as well, as in
    the authors' program, whose answer is thrown away."""
    slots, each = len(memory), D // H
    x = weights["input.weight"] @ x + weights["input.bias"]
    rows = [*memory, x]
    projected = [norm(weights["qkv.weight"] @ row, "qkv_norm", weights) for row in rows]
    after = np.zeros((slots + 1, D))
    for s in range(slots + 1):
        mixed = np.zeros(D)
        for h in range(H):
            q, k, v = (
                [p[h * 3 * each + n * each : h * 3 * each + (n + 1) * each] for p in projected] for n in range(3)
            )
            scores = np.array([np.exp(q[s] @ key / math.sqrt(each)) for key in k])
            mixed[h * each : (h + 1) * each] = sum(a * value for a, value in zip(scores / scores.sum(), v, strict=True))
        attended = norm(rows[s] + mixed, "attention_norm", weights)
        inner = np.maximum(weights["feedforward.up.weight"] @ attended + weights["feedforward.up.bias"], 0)
        outer = weights["feedforward.down.weight"] @ inner + weights["feedforward.down.bias"]
        after[s] = norm(attended + outer, "feedforward_norm", weights)
    out = np.zeros_like(memory)
    for s in range(slots):
        opened = weights["gates_of_memory.weight"] @ np.tanh(memory[s])
        opened = sigmoid(opened + weights["gates_of_input.weight"] @ x + weights["gates_of_input.bias"])
        i, f = np.split(opened, 2)
        out[s] = i * np.tanh(after[s]) + f * memory[s]
    return out


def step_by_step(layer: RelationalMemoryLayer, x: Tensor, memory: Tensor) -> Tensor:
    """``[T, W]`` from ``memory`` ``[S * D]``: the memory after every token."""
    weights = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    slots, outputs = memory.numpy().reshape(layer.slots, D), []
    for token in x.numpy():
        slots = step(slots, token, weights)
        outputs.append(slots.reshape(-1))
    return torch.from_numpy(np.stack(outputs))


def beginning(slots: int) -> Tensor:
    """The identity matrix with zeros behind it."""
    return torch.cat([torch.eye(slots, dtype=torch.float64), torch.zeros(slots, D - slots).double()], 1).flatten()


@every_shape
def test_equations(slots: int, gating: str) -> None:
    layer, x = layer_of(slots, gating), torch.randn(2, 4, W, dtype=torch.float64)
    state = RecurrentState((torch.randn(2, slots * D, dtype=torch.float64),))
    for given in (None, state):
        out, after = layer(x, None, given)
        for b in range(2):
            wanted = step_by_step(layer, x[b], beginning(slots) if given is None else given.tensors[0][b])
            same(out[b], wanted)
            same(after.tensors[0][b], wanted[-1])


def test_slots_without_number_begin_as_a_part_of_the_identity() -> None:
    assert layer_of(2).empty(3).tensors[0].tolist() == [[1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]] * 3
    narrow = RelationalMemoryLayer(W, 2, slots=3, heads=1)
    assert narrow.empty(1).tensors[0].tolist() == [[1, 0, 0, 1, 0, 0]]


@pytest.mark.parametrize("gating", ["unit", "slot"])
def test_gates_by_hand(gating: str) -> None:
    """With weights of 0 the gates are sigmoid(0) and sigmoid(1): a half of what is new, and 0.731 of what was."""
    torch.manual_seed(1)
    layer = RelationalMemoryLayer(W, D, slots=2, heads=H, gating=gating).double()
    for gate in (layer.gates_of_input, layer.gates_of_memory):
        torch.nn.init.zeros_(gate.weight)
    count = D if gating == "unit" else 1
    assert layer.gates_of_input.bias.tolist() == [0.0] * count + [1.0] * count
    for parameter in layer.feedforward_norm.parameters():
        torch.nn.init.constant_(parameter, 0.25 if parameter is layer.feedforward_norm.bias else 0.0)
    memory = torch.randn(1, 2 * D, dtype=torch.float64)
    out, _ = layer(torch.randn(1, 1, W, dtype=torch.float64), None, RecurrentState((memory,)))
    same(out[:, 0], 0.5 * math.tanh(0.25) + memory / (1 + math.exp(-1)))
    torch.nn.init.constant_(layer.gates_of_input.bias, -40.0)  # shut
    layer.gates_of_input.bias.data[count:] = 40.0  # open
    out, _ = layer(torch.randn(1, 3, W, dtype=torch.float64), None, RecurrentState((memory,)))
    same(out[0], memory.expand(3, -1))


@every_shape
def test_gates_are_those_of_the_pass(slots: int, gating: str) -> None:
    """What came in and what was kept add up to what was put out, with the gates that are told of it."""
    layer, x = layer_of(slots, gating), torch.randn(2, 4, W, dtype=torch.float64)
    candidates: list[Tensor] = []
    layer.feedforward_norm.register_forward_hook(lambda _, inputs, output: candidates.append(output))
    out, _ = layer(x)
    found = gates(layer, x, out)
    assert set(found) == {"input", "forget"}
    i, f = (found[name].unflatten(2, (slots, -1)) for name in ("input", "forget"))
    assert i.shape == (2, 4, slots, D if gating == "unit" else 1)
    memory = layer.empty(2).tensors[0].unflatten(1, (slots, D))
    for t in range(4):
        memory = f[:, t] * memory + i[:, t] * torch.tanh(candidates[t])
        same(out[:, t], memory.flatten(1))


@every_shape
def test_ragged_rows(slots: int, gating: str) -> None:
    """The final memory is the one after each row's last token; a row without tokens keeps its own."""
    layer, x, lengths = layer_of(slots, gating), torch.randn(4, 5, W, dtype=torch.float64), [2, 0, 5, 3]
    state = RecurrentState((torch.randn(4, slots * D, dtype=torch.float64),))
    runs = runs_of(4, 5, x.device, lengths=torch.tensor(lengths), segments=None, stateful=True)
    x.masked_fill_(torch.arange(5)[:, None] >= torch.tensor(lengths)[:, None, None], torch.nan)  # padding is not read
    out, after = layer(x, runs, state)
    for b, n in enumerate(lengths):
        before = state.tensors[0][b]
        wanted = step_by_step(layer, x[b, :n], before) if n else before[None]
        if n:
            same(out[b, :n], wanted)
        same(after.tensors[0][b], wanted[-1])
        assert not out[b, n:].any()


@every_shape
def test_documents_begin_anew(slots: int, gating: str) -> None:
    layer, x = layer_of(slots, gating), torch.randn(2, 6, W, dtype=torch.float64)
    segments = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, -1, -1, -1]])
    out, after = layer(x, runs_of(2, 6, x.device, lengths=None, segments=segments, stateful=False))
    assert after is None
    for row, start, stop in ((0, 0, 3), (0, 3, 4), (0, 4, 6), (1, 0, 1), (1, 1, 3)):
        same(out[row, start:stop], step_by_step(layer, x[row, start:stop], beginning(slots)))


@every_shape
def test_gradients_are_finite_differences(slots: int, gating: str) -> None:
    """Of the input, of the state and of every weight, through several steps of ragged rows."""
    layer = layer_of(slots, gating)
    x = torch.randn(2, 3, W, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(2, slots * D, dtype=torch.float64, requires_grad=True)
    runs = runs_of(2, 3, x.device, lengths=torch.tensor([3, 2]), segments=None, stateful=True)
    weighting = torch.randn(2, 3, slots * D, dtype=torch.float64)

    def total() -> Tensor:
        out, after = layer(x, runs, RecurrentState((memory,)))
        return (out * weighting).sum() + after.tensors[0].square().sum()

    inputs = {"x": x, "memory": memory, **dict(layer.named_parameters())}
    found = dict(zip(inputs, torch.autograd.grad(total(), list(inputs.values())), strict=True))
    for name, tensor in inputs.items():
        direction = torch.randn_like(tensor)
        with torch.no_grad():
            tensor += 1e-6 * direction
            above = total()
            tensor -= 2e-6 * direction
            below = total()
            tensor += 1e-6 * direction
        wanted = (above - below) / 2e-6
        torch.testing.assert_close((found[name] * direction).sum(), wanted, rtol=1e-6, atol=1e-6, msg=name)
